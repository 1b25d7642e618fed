"""`pcg preflight -f FILE` alone: what a file itself tells, with exit codes 0, 1 and 3."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pcg.cli.preflight import preflight

STATIC: dict[str, Any] = {
    "cloud": "vsphere",
    "vcenter": {"address": "vcenter.example.com", "username": "svc", "passwordFrom": "prompt"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://images.example.com/node-1.30.ova", "sha256": "a" * 64},
    "nodes": {"count": 3, "size": "medium"},
    "network": {
        "addresses": {"static": {"range": "10.10.20.10-10.10.20.15", "prefix": 24, "gateway": "10.10.20.1"}},
        "nameServers": ["10.10.1.2"],
        "ntpServers": ["ntp.example.com"],
        "controlPlaneAddress": "10.10.20.9",
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    document = deepcopy(STATIC)
    at = document
    *parents, last = path.split(".")
    for key in parents:
        at = at.setdefault(key, {})
    at[last] = value
    return document


def run(tmp_path: Path, document: Any, *options: str) -> tuple[int, Any]:
    file = tmp_path / "gateway.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    done = CliRunner().invoke(preflight, ["-f", str(file), "--output", "json", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)["checks"]


def test_a_right_file_is_clear(tmp_path: Path) -> None:
    code, checks = run(tmp_path, STATIC)
    assert (code, {check["name"]: check["ok"] for check in checks}) == (
        0,
        dict.fromkeys(
            [
                "configuration",
                "addresses",
                "control-plane address",
                "overlaps",
                "name servers",
                "image",
                "trust",
                "proxies",
            ],
            True,
        ),
    )


@pytest.mark.parametrize(
    ("path", "value", "name", "reason"),
    [
        ("nodes.count", 2, "configuration", "configuration-invalid"),
        ("vcenter.trust", {"ca": "missing.pem"}, "configuration", "ca-file"),
        ("network.addresses.static.gateway", "10.10.21.1", "configuration", "configuration-invalid"),
        ("network.podCidr", "10.96.0.0/16", "configuration", "configuration-invalid"),
        ("network.addresses.static.range", "10.10.20.10-10.10.20.14", "configuration", "configuration-invalid"),
        # Six addresses, of which one is the subnet's first and one its gateway.
        ("network.addresses.static.range", "10.10.20.0-10.10.20.6", "configuration", "configuration-invalid"),
        ("network.controlPlaneAddress", "10.10.21.9", "configuration", "configuration-invalid"),
        ("network.controlPlaneAddress", "10.10.20.1", "configuration", "configuration-invalid"),
        ("network.controlPlaneAddress", "10.10.20.255", "configuration", "configuration-invalid"),
        ("network.podCidr", "10.10.0.0/16", "configuration", "configuration-invalid"),
        ("network.serviceCidr", "10.10.20.128/25", "configuration", "configuration-invalid"),
        ("network.ntpServers", ["10.96.3.4"], "overlaps", "networks-overlap"),
        ("vcenter.address", "192.168.7.7:8443", "overlaps", "networks-overlap"),
        ("template.image", "ftp://images.example.com/node.ova", "image", "image-url"),
        ("template.image", "https:///node.ova", "image", "image-url"),
        ("template.image", "https://images.example.com/", "image", "image-url"),
        ("template.image", "https://me:secret@images.example.com/node.ova", "image", "image-url"),
        ("template.image", "https://[::1/node.ova", "image", "image-url"),
        ("proxy", {"https": "socks5://proxy:1080"}, "proxies", "proxy-invalid"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, path: str, value: Any, name: str, reason: str) -> None:
    code, checks = run(tmp_path, changed(path, value))
    wrong = {check["name"]: check["problem"]["reason"] for check in checks if check["ok"] is False}
    assert (code, wrong) == (1, {name: reason}), checks
    assert "secret" not in json.dumps(checks)


def test_too_small_a_pool_says_how_much_is_needed(tmp_path: Path) -> None:
    _, checks = run(tmp_path, changed("network.addresses.static.range", "10.10.20.10-10.10.20.14"))
    assert "the pool has 5 usable addresses; 6 are needed (3 for nodes, 3 spare)" in checks[0]["problem"]["evidence"][0]


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("network.addresses", {"dhcp": {}}, "control-plane address"),
        ("network.nameServers", [], "name servers"),
        ("template", {"image": "http://images.example.com/node.ova"}, "image"),
    ],
)
def test_what_the_file_leaves_open_cannot_be_told(tmp_path: Path, path: str, value: Any, name: str) -> None:
    code, checks = run(tmp_path, changed(path, value))
    assert (code, [check["name"] for check in checks if check["ok"] is not True]) == (3, [name])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "", "\x00"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    code, checks = run(tmp_path, text)
    assert (code, [(check["name"], check["ok"]) for check in checks]) == (1, [("configuration", False)])


def test_for_people_it_is_a_line_a_check_with_evidence_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(changed("network.ntpServers", ["10.96.3.4"])))
    done = CliRunner().invoke(preflight, ["-f", str(file)])
    assert done.exit_code == 1
    assert "FOUND       Networks overlap: the time server 10.96.3.4/32 overlaps" in done.stdout
    assert "remedy: Choose other networks" in done.stdout


def test_without_name_and_file_it_is_refused() -> None:
    assert CliRunner().invoke(preflight, []).exit_code == 2


@pytest.mark.parametrize(("value", "code"), [("10.10.20.9", 0), ("10.10.21.9", 1)])
def test_the_command_itself_ends_with_that_code(tmp_path: Path, value: str, code: int) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(changed("network.controlPlaneAddress", value)))
    command = [sys.executable, "-m", "pcg.cli.main", "preflight", "-f", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == code
