"""The configuration: each wrong value is refused with its field named, each harmless slip normalised with a notice."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.model.configuration import SIZES, Template, parse_configuration, split_host_port, strip_scheme

MINIMAL: dict[str, Any] = {
    "cloud": "vsphere",
    "vcenter": {"address": "vc.example.com", "username": "svc@vsphere.local"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://images.example.com/node-1.30.ova"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    document: Any = deepcopy(MINIMAL)
    place, keys = document, path.split(".")
    for key in keys[:-1]:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[keys[-1]] = value
    return dict(document)


def test_defaults() -> None:
    configuration, notices = parse_configuration(MINIMAL)
    assert notices == []
    assert configuration.nodes.hardware == SIZES["medium"]
    assert configuration.template.folder == "spectro-templates"
    assert configuration.template.name.startswith("node-1.30-")
    assert configuration.placement[0].folder == "pcg"


@pytest.mark.parametrize(
    "image,sum_,name",
    [
        ("node", None, "node"),
        ("node.ova", "ab" * 32, "node"),
        ("https://i.example/node.ova", "ab" * 32, "node-abababababab"),
        ("https://i.example/node.ova?signature=1", "ab" * 32, "node-abababababab"),
        (f"https://i.example/{'n' * 90}.ova", "ab" * 32, "n" * 50 + "-abababababab"),
    ],
)
def test_a_templates_name_tells_contents_apart(image: str, sum_: str | None, name: str) -> None:
    assert Template(image=image, sha256=sum_).name == name


def test_without_a_sum_the_url_tells_contents_apart_but_not_its_signature() -> None:
    names = [Template(image=f"https://i.example/{rest}").name for rest in ("a/n.ova?s=1", "a/n.ova?s=2", "b/n.ova")]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    "path,value",
    [
        ("cloud", "azure"),
        ("vcenter.address", ""),
        ("vcenter.address", "a b"),
        ("vcenter.address", "vc:0"),
        ("vcenter.address", "vc:99999"),
        ("vcenter.address", "vc:٣"),
        ("vcenter.address", "10.0.0.300"),
        ("vcenter.address", "[::1"),
        ("vcenter.username", ""),
        ("vcenter.trust", {"thumbprint": "AB"}),
        ("vcenter.trust", {"thumbprint": ":".join(["AB"] * 32), "ca": "PEM"}),
        ("vcenter.colour", "blue"),
        ("placement", []),
        ("placement.0.datastore", ""),
        ("template.image", ""),
        ("template.sha256", "xyz"),
        ("nodes.count", 2),
        ("nodes.size", "huge"),
        ("nodes.size", {"cpus": 0, "memoryGiB": 4, "diskGiB": 60}),
        ("network.addresses", {}),
        (
            "network.addresses",
            {"dhcp": {}, "static": {"range": "10.0.0.1-10.0.0.9", "prefix": 24, "gateway": "10.0.0.1"}},
        ),
        ("network.addresses", {"static": {"range": "10.0.0.9-10.0.0.1", "prefix": 24, "gateway": "10.0.0.1"}}),
        ("network.addresses", {"static": {"range": "10.0.0.1-10.0.1.9", "prefix": 24, "gateway": "10.0.0.1"}}),
        ("network.addresses", {"static": {"range": "10.0.0.1-10.0.0.9", "prefix": 24, "gateway": "10.9.0.1"}}),
        ("network.addresses", {"static": {"range": "10.0.0.1", "prefix": 24, "gateway": "10.0.0.1"}}),
        ("network.nameServers", ["dns"]),
        ("network.nameServers", ["fe80::1%ens192"]),
        ("network.podCidr", "192.168.0.1/16"),
        ("network.serviceCidr", "192.168.1.0/24"),
        ("kubernetes.version", "latest"),
        ("kubernetes.version", "1.12"),
        ("kubernetes.cni", "homemade"),
        ("kubernetes.registry", "registry example"),
        ("kubernetes.registry", "registry.example.com/Upper"),
        ("network.ntpServers", ["time.example.com\nserver other.example.com"]),
        ("sshKeys", ["not a key"]),
        ("sshKeys", ["ssh-ed25519 AAAA\nssh-rsa BBBB"]),
        ("unknown", 1),
    ],
)
def test_a_wrong_value_names_its_field(path: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(changed(path, value))
    error = caught.value
    assert error.field_name.split(".")[0] == path.split(".")[0]
    assert error.remedy and error.evidence


@pytest.mark.parametrize(
    "typed", ["https://vc.example.com", "http://vc.example.com/", "https://https://vc.example.com//"]
)
def test_a_scheme_is_taken_off_with_a_notice(typed: str) -> None:
    configuration, notices = parse_configuration(changed("vcenter.address", typed))
    assert configuration.vcenter.address == "vc.example.com"
    assert len(notices) == 1 and "vc.example.com" in notices[0]


@pytest.mark.parametrize(
    "vcenter", [{"password": "x"}, {"passwordFrom": "hunter2"}], ids=["password", "password in passwordFrom"]
)
def test_an_inline_password_is_refused_and_not_repeated(vcenter: dict[str, str]) -> None:
    document = deepcopy(MINIMAL)
    document["vcenter"].update(vcenter)
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(document)
    assert caught.value.reason == "inline-password"
    assert "hunter2" not in str(caught.value)


def test_password_sources_are_left_to_the_command() -> None:
    for source in ("prompt", {"env": "NAME"}, {"file": "path"}):
        parse_configuration(changed("vcenter.passwordFrom", source))


def test_three_nodes_need_an_address_for_the_api_server() -> None:
    with pytest.raises(InvalidInput, match="controlPlaneAddress"):
        parse_configuration(changed("nodes.count", 3))


@pytest.mark.parametrize(
    "address,host,port",
    [
        ("vc", "vc", 443),
        ("vc:8443", "vc", 8443),
        ("10.1.2.3", "10.1.2.3", 443),
        ("10.1.2.3:8989", "10.1.2.3", 8989),
        ("fd00::1", "fd00::1", 443),
        ("[fd00::1]", "fd00::1", 443),
        ("[fd00::1]:8443", "fd00::1", 8443),
    ],
)
def test_every_form_of_an_address(address: str, host: str, port: int) -> None:
    assert split_host_port(address, 443) == (host, port)


@given(st.text(max_size=50))
def test_stripping_is_idempotent(text: str) -> None:
    once, _ = strip_scheme(text)
    assert strip_scheme(once.strip())[0] == once.strip().rstrip("/") or "://" in once


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda i: st.lists(i) | st.dictionaries(st.text(), i))
)
def test_any_document_is_parsed_or_refused(document: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_configuration(document)


def test_template_names() -> None:
    signed = Template(image="https://me:secret@h:8443/x/node.ova?token=s3cret#here")
    assert re.fullmatch(r"node-[0-9a-f]{12}", signed.name)
    assert signed.shown_image == "https://h:8443/x/node.ova"
    assert Template(image="ubuntu-2204-k8s-1.30").name == "ubuntu-2204-k8s-1.30"
