"""The OVF environment of an appliance: what is read, what is refused with words, and which source counts first."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pcg.cli.install import install
from pcg.errors import InvalidInput
from pcg.gateway import agent
from pcg.gateway.installer import InstallSettings, check
from pcg.gateway.ovf_environment import MAXIMUM_BYTES, parse_ovf_environment, read_ovf_environment
from pcg.gateway.ovf_properties import check_properties
from pcg.sealing import pairing_code
from unit.network.test_pins_and_failures import certificate

NAMESPACE = "http://schemas.dmtf.org/ovf/environment/1"
CODE = "AA4RV-B3AAT-YBV54-C7C5R"
PIN = "sha256:" + "a" * 64
PEM = certificate("proxy")
KEY_BYTES = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32) + b"k" * 32
KEY = f"ssh-ed25519 {base64.b64encode(KEY_BYTES).decode()}"


def document(*properties: tuple[str, str], before: str = "", after: str = "") -> bytes:
    """As vCenter writes it."""
    lines = "\n".join(f"<Property oe:key={quoteattr(key)} oe:value={quoteattr(value)}/>" for key, value in properties)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
{before}<Environment
     xmlns="{NAMESPACE}"
     xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
     xmlns:oe="{NAMESPACE}"
     xmlns:ve="http://www.vmware.com/schema/ovfenv"
     oe:id="" ve:vCenterId="vm-4027">
   <PlatformSection><Kind>VMware ESXi</Kind><Version>8.0.3</Version><Locale>en</Locale></PlatformSection>
   <PropertySection>{lines}</PropertySection>
   <ve:EthernetAdapterSection><ve:Adapter ve:mac="00:50:56:00:00:01" ve:unitNumber="7"/></ve:EthernetAdapterSection>
   {after}</Environment>""".encode()


def refused(content: bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_ovf_environment(content)
    assert (caught.value.reason, caught.value.field_name) == ("ovf-env-unreadable", "ovf-env")
    assert caught.value.remedy
    return caught.value


def test_what_vcenter_writes() -> None:
    other = (
        '<Entity oe:id="sibling"><PropertySection><Property oe:key="pcg.name" oe:value="x"/></PropertySection></Entity>'
    )
    content = document(("pcg.endpoint", "https://c"), ("user-data", "x"), ("pcg.ssh-key", " "), after=other)
    for given_as in (content, b"\xef\xbb\xbf" + content, b"\n " + content, content.replace(b"UTF-8", b"utf-8")):
        assert parse_ovf_environment(given_as) == {"endpoint": "https://c"}
    assert parse_ovf_environment(document(("pcg.installer-name", 'ä <&"> \u2028'))) == {
        "installer-name": 'ä <&"> \u2028'
    }


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(8)
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not well-formed"),
        (b"garbage", "not well-formed"),
        (b"<a>", "not well-formed"),
        (b"\x00" * 100, "not well-formed"),
        (b"<Environment/>", "not the Environment of OVF"),
        (b"<html><body>captive portal</body></html>", "not the Environment of OVF"),
        (document(("pcg.endpoint", "x"), before=LAUGHS + "]>\n"), "entities"),
        (document(before='<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd">'), "document type"),
        (document(before='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), "entities"),
        (document().replace(b"</Environment>", b"&undefined;</Environment>"), "not well-formed"),
        (document(("pcg.endpoint", "a"), ("pcg.endpoint", "a")), "'pcg.endpoint' stands in it twice"),
        (document(("pcg.endpoint", "x" * MAXIMUM_BYTES)), "larger than 1 MiB"),
        (document().decode().encode("utf-16"), "not UTF-8"),
        (document(("pcg.endpoint", "ä")).decode().encode("latin-1"), "not UTF-8"),
        (document().replace(b"UTF-8", b"ISO-8859-1"), "declares the encoding 'ISO-8859-1'"),
        (document().replace(b"UTF-8", b"UTF-7"), "declares the encoding 'UTF-7'"),
        (document(*[(f"pcg.x{number}", "x") for number in range(501)]), "more than 500"),
        (document(("pcg.endpoint", "x")).replace(b"oe:value", b"value"), "no key or no value"),
        (document(("pcg.endpoint", "x")).replace(b'oe:value="x"', b'oe:value="x" oe:value="y"'), "not well-formed"),
        (document(("pcg.endpoint", "x")).replace(b"x", b"&#0;", 1), "not well-formed"),
        (b"<a>" * 200_000, "not well-formed"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "not the Environment of OVF"),
    ],
)
def test_hostile_documents(content: bytes, why: str) -> None:
    assert why in refused(content).what


@hypothesis_settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_break_it(content: bytes) -> None:
    for whole in (content, document().replace(b"<Kind>", content + b"<Kind>")):
        try:
            parse_ovf_environment(whole)
        except InvalidInput as error:
            assert error.reason == "ovf-env-unreadable"


def test_files(tmp_path: Path) -> None:
    large = tmp_path / "large.xml"
    with large.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    for path, why in ((tmp_path / "none.xml", "cannot be read"), (tmp_path, "cannot be read"), (large, "larger than")):
        with pytest.raises(InvalidInput, match=why):
            read_ovf_environment(path)


@pytest.mark.parametrize(
    ("properties", "attribute", "value", "notice"),
    [
        ({"endpoint": "https://Console.example/"}, "endpoint", "https://console.example", "a trailing slash"),
        ({"installer-name": " dc-1 "}, "installer_name", "dc-1", ""),
        ({"installer-name": "x" * 300}, "installer_name", "x" * 253, "cut to 253"),
        ({"pairing-code": CODE.lower().replace("-", " ")}, "pairing_code", pairing_code.parse(CODE), ""),
        ({"ca-pin": "A" * 64}, "ca_pin", PIN, ""),
        ({"https-proxy": "proxy:3128"}, "https_proxy", "http://proxy:3128", "no scheme was given"),
        ({"http-proxy": "http://u:p%40@proxy:1"}, "http_proxy", "http://u:p%40@proxy:1", ""),
        ({"no-proxy": "10.1.2.3/8, A.example"}, "no_proxy", "10.0.0.0/8,a.example", "10.0.0.0/8 is used"),
        ({"certificate": base64.b64encode(PEM.encode()).decode()}, "certificate", PEM, ""),
        ({"certificate": base64.b64encode((PEM + " ").encode()).decode().rstrip("=")}, "certificate", PEM, None),
        ({"certificate": base64.b64encode((PEM + "  ").encode()).decode().rstrip("=")}, "certificate", PEM, None),
        ({"certificate": PEM}, "certificate", PEM, "as PEM"),
        ({"certificate": "".join(PEM.splitlines()[1:-1])}, "certificate", PEM, ""),
        ({"ssh-key": f"{KEY}   me@here"}, "ssh_key", f"{KEY} me@here", "checked here"),
        ({"pod-cidr": "192.168.0.0/16"}, "pod_cidr", "192.168.0.0/16", "checked here"),
        ({"service-cidr": "10.96.3.1/12"}, "service_cidr", "10.96.0.0/12", "10.96.0.0/12 is used for"),
        ({"ip-scheme": "DHCP"}, "static", "None", "dhcp is used for DHCP"),
        ({"ip-scheme": "dhcp", "ip-prefix": "24"}, "static", "None", "pcg.ip-prefix: not used"),
    ],
)
def test_good_properties(properties: dict[str, str], attribute: str, value: str, notice: str | None) -> None:
    settings, notices = check_properties(properties)
    assert str(getattr(settings, attribute)) == value
    if notice is not None:
        assert notice in " ".join(notices)
        assert bool(notices) is bool(notice)


STATIC = {
    "ip-scheme": "static",
    "ip-address": "10.10.20.5",
    "ip-prefix": "24",
    "ip-gateway": "10.10.20.1",
    "name-servers": "10.10.1.2, 10.10.1.3 fd00::1",
}


def test_a_static_address() -> None:
    for prefix in ("24", "/24", "255.255.255.0"):
        settings, _ = check_properties({**STATIC, "ip-scheme": "Static IP", "ip-prefix": prefix})
        assert settings.static is not None
        assert str(settings.static.interface) == "10.10.20.5/24"
        assert [str(server) for server in settings.static.name_servers] == ["10.10.1.2", "10.10.1.3", "fd00::1"]


@pytest.mark.parametrize(
    ("properties", "key", "why"),
    [
        ({"endpoint": "http://c"}, "endpoint", "only https is spoken"),
        ({"endpont": "https://c"}, "endpont", "no such property"),
        ({"installer-name": "a\x07b"}, "installer-name", "control character"),
        ({"pairing-code": "SECRETSECRETSECRETSE"}, "pairing-code", ""),
        ({"ca-pin": "sha256:12"}, "ca-pin", "64 hexadecimal"),
        ({"https-proxy": "socks5://u:SECRET@p:1"}, "https-proxy", "SOCKS is not spoken"),
        ({"http-proxy": "http://p"}, "http-proxy", "port is missing"),
        ({"no-proxy": "a b"}, "no-proxy", "'a b'"),
        ({"no-proxy": "a," * 40_000}, "no-proxy", "longer than"),
        ({"certificate": "not base64!"}, "certificate", "not base64"),
        ({"certificate": "AAAA"}, "certificate", ""),
        ({"certificate": base64.b64encode(b"-----BEGIN x").decode()}, "certificate", "no certificate was found"),
        ({"certificate": "-----BEGIN PRIVATE KEY-----\nSECRET"}, "certificate", "private key"),
        ({"ssh-key": "-----BEGIN OPENSSH PRIVATE KEY-----SECRET"}, "ssh-key", "private key"),
        ({"ssh-key": "ssh-ed25519"}, "ssh-key", "not a public SSH key"),
        ({"ssh-key": KEY.replace("ssh-ed25519", "ssh-rsa")}, "ssh-key", "damaged"),
        ({"ssh-key": "ssh-dss AAAA"}, "ssh-key", "not a public SSH key"),
        ({"ssh-key": "ssh-ed25519 ***"}, "ssh-key", "not base64"),
        ({"ssh-key": f"{KEY}\n{KEY}"}, "ssh-key", "on one line"),
        ({"pod-cidr": "192.168.0.0"}, "pod-cidr", "too large or too small"),
        ({"pod-cidr": "192.168.0.0/33"}, "pod-cidr", "not an IPv4 CIDR"),
        ({"pod-cidr": "10.0.0.0/8", "service-cidr": "10.96.0.0/12"}, "pod-cidr", "overlaps"),
        ({**STATIC, "pod-cidr": "10.10.0.0/16"}, "pod-cidr", "overlaps"),
        ({"ip-scheme": "manual"}, "ip-scheme", "neither dhcp nor static"),
        ({"ip-scheme": "static", "ip-prefix": "24"}, "ip-scheme", "pcg.ip-address, pcg.ip-gateway, pcg.name-servers"),
        ({**STATIC, "ip-prefix": "0.0.0.255"}, "ip-prefix", "neither a prefix length"),
        ({**STATIC, "ip-prefix": "33"}, "ip-prefix", "neither a prefix length"),
        ({**STATIC, "ip-address": "10.10.20.255"}, "ip-address", "broadcast"),
        ({**STATIC, "ip-address": "fd00::1"}, "ip-address", "not an IPv4 address"),
        ({**STATIC, "ip-gateway": "10.10.21.1"}, "ip-gateway", "not another address"),
        ({**STATIC, "name-servers": "10.10.1.2,dns"}, "name-servers", "'dns' is not an IP address"),
        ({**STATIC, "name-servers": ","}, "name-servers", "names no server"),
    ],
)
def test_wrong_properties(properties: dict[str, str], key: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_properties(properties)
    assert caught.value.field_name == f"ovf-env pcg.{key}"
    assert why in caught.value.what
    assert caught.value.remedy
    assert "SECRET" not in repr(caught.value)


@hypothesis_settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["certificate", "ssh-key", "pod-cidr", "ip-prefix", *STATIC]), st.text()))
def test_no_value_breaks_it(properties: dict[str, str]) -> None:
    try:
        check_properties(properties)
    except InvalidInput as error:
        assert error.field_name.startswith("ovf-env pcg.")


# The command: what the OVF environment says counts last.


WHOLE = (
    ("pcg.endpoint", "https://ovf.example/"),
    ("pcg.pairing-code", CODE),
    ("pcg.ca-pin", PIN),
    ("pcg.https-proxy", "http://ovf:1"),
    ("pcg.no-proxy", "ovf.example"),
    ("pcg.installer-name", "ovf"),
    ("pcg.certificate", base64.b64encode(PEM.encode()).decode()),
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Result, InstallSettings | None]]:
    """`pcg install` up to the check of its settings, with an OVF environment of `properties`."""
    started: list[InstallSettings] = []

    async def check_only(settings: InstallSettings, **more: Any) -> int:
        check(settings)
        started.append(settings)
        return 0

    monkeypatch.setattr(agent, "run_gateway", check_only)
    monkeypatch.delenv("PCG_ENDPOINT", raising=False)

    def once(
        properties: tuple[tuple[str, str], ...], *options: str, **env: str
    ) -> tuple[Result, InstallSettings | None]:
        file = tmp_path / "ovf-env.xml"
        file.write_bytes(document(*properties))
        result = CliRunner(env=env).invoke(install, ["--ovf-env", str(file), "--state", str(tmp_path), *options])
        return result, started[-1] if started else None

    return once


Run = Callable[..., tuple[Result, InstallSettings | None]]


def test_everything_by_ovf(run: Run) -> None:
    result, settings = run(WHOLE)
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.endpoint, settings.ca_pin, settings.installer_name) == ("https://ovf.example", PIN, "ovf")
    assert (settings.https_proxy, settings.no_proxy, settings.proxy_ca) == ("http://ovf:1", "ovf.example", PEM)
    assert settings.pairing_code == pairing_code.parse(CODE)
    assert "note: pcg.endpoint: a trailing slash was taken off the endpoint" in result.stderr
    assert CODE not in result.output


def test_flag_variable_and_file_count_before_it(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "https-proxy"
    file.write_text("http://file:1")
    other = "sha256:" + "b" * 64
    options = ("--endpoint", "https://flag.example", "--https-proxy-file", str(file), "--ca-pin", other)
    result, settings = run(WHOLE, *options, PCG_INSTALLER_NAME="variable", PCG_ENDPOINT="https://variable.example")
    assert result.exit_code == 0, result.output
    assert settings is not None
    assert (settings.endpoint, settings.installer_name) == ("https://flag.example", "variable")
    assert (settings.https_proxy, settings.ca_pin, settings.no_proxy) == ("http://file:1", other, "ovf.example")


def test_a_flag_is_the_way_out_of_a_wrong_property(run: Run) -> None:
    wrong = (("pcg.endpoint", "http://wrong"), *WHOLE[1:])
    result, settings = run(wrong)
    assert isinstance(result.exception, InvalidInput)
    assert (settings, result.exception.field_name) == (None, "ovf-env pcg.endpoint")
    result, settings = run(wrong, "--endpoint", "https://right.example")
    assert result.exit_code == 0
    assert settings is not None


def test_a_console_that_nobody_named(run: Run) -> None:
    result, settings = run(WHOLE[1:])
    assert isinstance(result.exception, InvalidInput)
    assert (settings, result.exception.reason) == (None, "endpoint-missing")
