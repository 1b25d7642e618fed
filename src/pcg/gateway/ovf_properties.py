"""What the properties of an OVF environment mean: each checked strictly, normalised with a notice or refused by name.

The settings of the installer itself go on to `installer`; the SSH key, the two ranges and the IP scheme are for the
appliance's own start, and are only checked here, so that a wrong one is told before anything else happens. Called by
`pcg install`, after `ovf_environment`.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pcg.errors import InvalidInput
from pcg.network.endpoint import parse_endpoint
from pcg.network.no_proxy import Address, parse_no_proxy
from pcg.network.pins import parse_pin
from pcg.network.proxies import parse_proxies
from pcg.network.trust import Trust
from pcg.sealing import pairing_code

_T = TypeVar("_T")

MAXIMUM_CHARACTERS = 64 * 1024
"""of a value; the certificate is the longest"""

_SSH_TYPE = re.compile(
    r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_OURS = ("installer-name", "endpoint", "pairing-code", "ca-pin", "http-proxy", "https-proxy", "no-proxy", "certificate")
_APPLIANCE = ("ssh-key", "pod-cidr", "service-cidr", "ip-scheme")
_STATIC = ("ip-address", "ip-prefix", "ip-gateway", "name-servers")
_KEYS = (*_OURS, *_APPLIANCE, *_STATIC)


@dataclass(frozen=True)
class StaticAddress:
    interface: ipaddress.IPv4Interface
    gateway: ipaddress.IPv4Address
    name_servers: tuple[Address, ...]


@dataclass(frozen=True)
class OvfSettings:
    """None: the property was not given."""

    installer_name: str | None = None
    endpoint: str | None = None
    pairing_code: str | None = field(default=None, repr=False)
    ca_pin: str | None = None
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    certificate: str | None = None
    """PEM that proves a proxy by TLS"""
    ssh_key: str | None = None
    pod_cidr: ipaddress.IPv4Network | None = None
    service_cidr: ipaddress.IPv4Network | None = None
    static: StaticAddress | None = None
    """None: DHCP"""


def check_properties(properties: Mapping[str, str]) -> tuple[OvfSettings, list[str]]:
    """The settings and the notices of what was normalised. Keys are without their class.

    Raises InvalidInput with the property as its field, `ovf-env pcg.KEY`; no text of it holds the code or a password.
    """
    reader = _Reader(properties)
    unknown = sorted(set(properties) - set(_KEYS))
    if unknown:
        near = difflib.get_close_matches(unknown[0][:80], _KEYS, 1)
        raise _invalid(unknown[0][:80], "there is no such property", f"Did you mean pcg.{near[0]}?" if near else "")
    settings = OvfSettings(
        installer_name=reader.value("installer-name", _name),
        endpoint=reader.value("endpoint", _endpoint),
        pairing_code=reader.value("pairing-code", _pairing_code),
        ca_pin=reader.value("ca-pin", _pin),
        http_proxy=reader.value("http-proxy", _proxy),
        https_proxy=reader.value("https-proxy", _proxy),
        no_proxy=reader.value("no-proxy", _no_proxy),
        certificate=reader.value("certificate", _certificate),
        ssh_key=reader.value("ssh-key", _ssh_key),
        pod_cidr=reader.value("pod-cidr", _cidr),
        service_cidr=reader.value("service-cidr", _cidr),
        static=_static(reader),
    )
    _check_overlaps(settings)
    checked = [f"pcg.{key}" for key in _APPLIANCE if reader.given(key)]
    if checked:
        told = "checked here and left to the appliance; the gateway cluster's are in its configuration in the console"
        reader.notices.append(f"{', '.join(checked)}: {told}")
    return settings, reader.notices


class _Reader:
    """Gives each property to its parser, and names it in what the parser says."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._properties = properties
        self.notices: list[str] = []

    def given(self, key: str) -> bool:
        return key in self._properties

    def value(self, key: str, parse: Callable[[str], tuple[_T, list[str]]]) -> _T | None:
        typed = self._properties.get(key)
        if typed is None:
            return None
        if len(typed) > MAXIMUM_CHARACTERS:
            raise _invalid(key, f"it is longer than {MAXIMUM_CHARACTERS} characters")
        try:
            found, notices = parse(typed.strip())
        except InvalidInput as error:
            error.field_name = f"ovf-env pcg.{key}"
            raise
        except ValueError as error:
            raise _invalid(key, str(error)) from None
        self.notices += [f"pcg.{key}: {notice}" for notice in notices]
        return found


def _name(text: str) -> tuple[str, list[str]]:
    if not text.isprintable():
        raise ValueError("it has a control character")
    return (text, []) if len(text) <= 253 else (text[:253], ["it was cut to 253 characters"])


def _endpoint(text: str) -> tuple[str, list[str]]:
    endpoint, notices = parse_endpoint(text)
    return endpoint.url, notices


def _pairing_code(text: str) -> tuple[str, list[str]]:
    return pairing_code.parse(text), []


def _pin(text: str) -> tuple[str, list[str]]:
    return parse_pin(text), []


def _proxy(text: str) -> tuple[str, list[str]]:
    proxies, notices = parse_proxies(None, text, None)
    return proxies.https or "", [notice.removeprefix("https-proxy: ") for notice in notices]


def _no_proxy(text: str) -> tuple[str, list[str]]:
    entries, notices = parse_no_proxy(text)
    return ",".join(map(str, entries)), [notice.removeprefix("no-proxy: ") for notice in notices]


def _certificate(text: str) -> tuple[str, list[str]]:
    """Base64 (line breaks and missing padding are mended) of one or more certificates as PEM, or of one as DER."""
    notices = []
    packed = "".join(text.split())
    if "-----BEGIN" in text:
        pem, notices = text, ["it was given as PEM and not as its base64"]
    else:
        padded = packed.rstrip("=") + "=" * (-len(packed.rstrip("=")) % 4)
        if padded != packed:
            notices = ["the padding of its base64 was completed"]
        try:
            plain = base64.b64decode(padded, validate=True)
        except binascii.Error:
            raise ValueError("it is not base64") from None
        pem = plain.decode("latin-1") if b"-----BEGIN" in plain else ssl.DER_cert_to_PEM_cert(plain)
    if "PRIVATE KEY" in pem:
        raise ValueError("it holds a private key; give only certificates")
    found = "\n".join(_CERTIFICATE.findall(pem))
    if not found:
        raise ValueError("no certificate was found in it")
    Trust.system_and(found).context()
    return found + "\n", notices


def _ssh_key(text: str) -> tuple[str, list[str]]:
    if "PRIVATE KEY" in text:
        raise ValueError("it is a private key; give the public one (the file that ends with .pub)")
    words = text.split(maxsplit=2)
    if len(words) < 2 or not _SSH_TYPE.fullmatch(words[0]) or "\n" in text or not text.isprintable():
        raise ValueError("it is not a public SSH key on one line (TYPE BASE64 [COMMENT])")
    try:
        plain = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError("its second part is not base64") from None
    # RFC 4253, 6.6: the key begins with its own type.
    kind = words[0].encode()
    if plain[:4] != len(kind).to_bytes(4, "big") or plain[4 : 4 + len(kind)] != kind or len(plain) <= 4 + len(kind):
        raise ValueError("it is damaged: its second part is not a key of that type")
    return " ".join(words), []


def _cidr(text: str) -> tuple[ipaddress.IPv4Network, list[str]]:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an IPv4 CIDR (ADDRESS/LENGTH)") from None
    if not 8 <= network.prefixlen <= 28:
        raise ValueError(f"{network} is too large or too small: /8 to /28")
    return network, [] if str(network) == text else [f"{network} is used for {text}"]


def _scheme(text: str) -> tuple[str, list[str]]:
    plain = text.lower().removesuffix(" ip").strip()
    if plain not in ("dhcp", "static"):
        raise ValueError(f"{text[:40]!r} is neither dhcp nor static")
    return plain, [] if plain == text else [f"{plain} is used for {text}"]


def _address(text: str) -> tuple[ipaddress.IPv4Address, list[str]]:
    try:
        return ipaddress.IPv4Address(text), []
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an IPv4 address") from None


def _prefix(text: str) -> tuple[int, list[str]]:
    """1 to 32, or a mask, of which the length is used."""
    if re.fullmatch(r"/?[0-9]{1,2}", text):
        length = int(text.removeprefix("/"))
        if 1 <= length <= 32:
            return length, [] if text == str(length) else [f"{length} is used for {text}"]
    elif re.fullmatch(r"[0-9.]+", text):
        try:
            length = ipaddress.IPv4Network(f"0.0.0.0/{text}").prefixlen
        except ValueError:
            length = 0
        # The same parser takes host masks, which are the contrary of what is meant here.
        if length and str(ipaddress.IPv4Network(f"0.0.0.0/{length}").netmask) == text:
            return length, [f"{length} is used for {text}"]
    raise ValueError(f"{text[:40]!r} is neither a prefix length (1 to 32) nor a netmask")


def _name_servers(text: str) -> tuple[tuple[Address, ...], list[str]]:
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    found: list[Address] = []
    for word in words:
        try:
            found.append(ipaddress.ip_address(word))
        except ValueError:
            raise ValueError(f"{word[:40]!r} is not an IP address") from None
    if not found:
        raise ValueError("it names no server")
    return tuple(found), []


def _static(reader: _Reader) -> StaticAddress | None:
    scheme = reader.value("ip-scheme", _scheme)
    address = reader.value("ip-address", _address)
    prefix = reader.value("ip-prefix", _prefix)
    gateway = reader.value("ip-gateway", _address)
    servers = reader.value("name-servers", _name_servers)
    if scheme != "static":
        unused = [f"pcg.{key}" for key in _STATIC if reader.given(key)]
        if unused:
            reader.notices.append(f"{', '.join(unused)}: not used, because pcg.ip-scheme is not static")
        return None
    if address is None or prefix is None or gateway is None or servers is None:
        missing = [f"pcg.{key}" for key in _STATIC if not reader.given(key)]
        raise _invalid("ip-scheme", f"a static address needs {', '.join(missing)} too")
    interface = ipaddress.IPv4Interface(f"{address}/{prefix}")
    network = interface.network
    if prefix < 31 and address in (network.network_address, network.broadcast_address):
        raise _invalid("ip-address", f"{address} is the address of the network {network} or its broadcast")
    if gateway not in network or gateway == address:
        raise _invalid("ip-gateway", f"{gateway} is not another address of the network {network}")
    return StaticAddress(interface, gateway, servers)


def _check_overlaps(settings: OvfSettings) -> None:
    ranges = [("pod-cidr", settings.pod_cidr), ("service-cidr", settings.service_cidr)]
    if settings.static is not None:
        ranges.append(("ip-address", settings.static.interface.network))
    known = [(key, network) for key, network in ranges if network is not None]
    for number, (key, network) in enumerate(known):
        for other_key, other in known[:number]:
            if network.overlaps(other):
                raise _invalid(other_key, f"{other} overlaps {network} of pcg.{key}")


def _invalid(key: str, why: str, hint: str = "") -> InvalidInput:
    return InvalidInput(
        f"The OVF property pcg.{key} is wrong: {why}.",
        reason="ovf-property-invalid",
        field_name=f"ovf-env pcg.{key}",
        remedy=[
            hint or "Change it in the machine's vApp options, or give the flag of `pcg install`, which counts first."
        ],
    )
