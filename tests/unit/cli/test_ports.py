"""`pcg ports`: the flows that follow from a configuration, an installer's proxy and a console's address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pcg.cli.ports import ports
from pcg.errors import InvalidInput

from .test_preflight_file import STATIC, changed

Row = tuple[str, str, str, str]


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    for name in ("PCG_CONSOLE", "PCG_CA_PIN", "PCG_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def rows(tmp_path: Path, document: dict[str, Any], *options: str) -> set[Row]:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(
        ports, ["-f", str(file), "--console", "https://console.example.com:8443", "--output", "json", *options]
    )
    assert done.exit_code == 0, done.output
    flows = json.loads(done.stdout)["flows"]
    assert all(set(flow) == {"from", "to", "port", "protocol", "why"} and all(flow.values()) for flow in flows)
    found = [(flow["from"], flow["to"], flow["port"], flow["protocol"]) for flow in flows]
    assert len(found) == len(set(found))
    return set(found)


def test_three_nodes_with_static_addresses(tmp_path: Path) -> None:
    assert rows(tmp_path, STATIC) == {
        ("installer", "console.example.com", "8443", "TCP"),
        ("nodes", "console.example.com", "8443", "TCP"),
        ("installer", "vCenter vcenter.example.com", "443", "TCP"),
        ("installer", "images.example.com", "443", "TCP"),
        ("installer", "ESXi hosts of c-1", "443", "TCP"),
        ("installer", "its own name servers", "53", "UDP"),
        ("installer", "its own name servers", "53", "TCP"),
        ("nodes", "10.10.1.2", "53", "UDP"),
        ("nodes", "10.10.1.2", "53", "TCP"),
        ("nodes", "ntp.example.com", "123", "UDP"),
        ("installer", "its own time servers", "123", "UDP"),
        ("ESXi hosts", "its own time servers", "123", "UDP"),
        ("installer", "API server 10.10.20.9", "6443", "TCP"),
        ("administrators", "API server 10.10.20.9", "6443", "TCP"),
        ("administrators", "installer", "5080", "TCP"),
        ("nodes", "API server 10.10.20.9", "6443", "TCP"),
        ("nodes", "the nodes' segment", "any", "ARP"),
        ("installer", "nodes", "2379", "TCP"),
        ("nodes", "nodes", "2379-2380", "TCP"),
        ("nodes", "nodes", "10250", "TCP"),
        ("nodes", "nodes", "179", "TCP"),
        ("nodes", "nodes", "4789", "UDP"),
        ("nodes", "nodes", "any", "IP protocol 4"),
        ("nodes", "nodes", "5473", "TCP"),
    }


def test_what_a_configuration_adds_and_takes_away(tmp_path: Path) -> None:
    plain = rows(tmp_path, STATIC)
    dhcp = rows(tmp_path, changed("network.addresses", {"dhcp": {}}))
    assert dhcp - plain == {
        ("nodes", "DHCP server or relay", "67", "UDP"),
        ("DHCP server or relay", "nodes", "68", "UDP"),
    }
    named = rows(tmp_path, changed("template", {"image": "node-1.30"}))
    assert plain - named == {
        ("installer", "images.example.com", "443", "TCP"), ("installer", "ESXi hosts of c-1", "443", "TCP"),
    }  # fmt: skip
    one = rows(tmp_path, changed("nodes.count", 1))
    assert not [row for row in one if row[:2] == ("nodes", "nodes")]
    other = rows(tmp_path, changed("kubernetes", {"cni": "Antrea", "registry": "registry.example.com:5000/pcg"}))
    assert {("nodes", "nodes", "6081", "UDP"), ("nodes", "registry registry.example.com", "5000", "TCP")} <= other
    port = rows(tmp_path, changed("vcenter.address", "vcenter.example.com:8443"))
    assert ("installer", "vCenter vcenter.example.com", "8443", "TCP") in port


def test_the_installers_proxy_stands_in_between_and_never_before_the_vcenter(tmp_path: Path) -> None:
    found = rows(tmp_path, STATIC, "--proxy", "http://me:secret@proxy.example.com:3128")
    assert {
        ("installer", "proxy proxy.example.com", "3128", "TCP"),
        ("proxy proxy.example.com", "console.example.com", "8443", "TCP"),
        ("proxy proxy.example.com", "images.example.com", "443", "TCP"),
        ("installer", "vCenter vcenter.example.com", "443", "TCP"),
        ("nodes", "console.example.com", "8443", "TCP"),
    } <= found
    assert ("installer", "console.example.com", "8443", "TCP") not in found
    apart = rows(tmp_path, STATIC, "--proxy", "proxy.example.com:3128", "--no-proxy", "console.example.com")
    assert ("installer", "console.example.com", "8443", "TCP") in apart
    assert ("installer", "images.example.com", "443", "TCP") not in apart


def test_the_nodes_have_proxies_of_their_own(tmp_path: Path) -> None:
    found = rows(tmp_path, changed("proxy", {"https": "http://nodes-proxy.example.com:3129"}))
    assert ("nodes", "proxy nodes-proxy.example.com", "3129", "TCP") in found
    assert ("nodes", "console.example.com", "8443", "TCP") not in found
    assert ("installer", "console.example.com", "8443", "TCP") in found


def test_a_table_for_people_without_a_known_console(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(STATIC))
    done = CliRunner().invoke(ports, ["-f", str(file), "--proxy", "http://me:secret@proxy.example.com:3128"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split() == ["FROM", "TO", "PORT", "PROTOCOL", "WHY"]
    assert "no console is known here; give --console URL" in done.stderr
    assert " console " in done.stdout
    assert "secret" not in done.output


@pytest.mark.parametrize(
    "document",
    [
        changed("template", {"image": "https://images.example.com:x/node.ova"}),
        changed("template", {"image": "https:///node.ova"}),
        changed("kubernetes", {"registry": "[::1"}),
        changed("nodes.count", 2),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, document: dict[str, Any]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(ports, ["-f", str(file)])
    assert isinstance(done.exception, InvalidInput)


@pytest.mark.parametrize("arguments", [[], ["one", "-f", __file__]])
def test_either_a_name_or_a_file(arguments: list[str]) -> None:
    assert CliRunner().invoke(ports, arguments).exit_code == 2
