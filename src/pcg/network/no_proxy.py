"""NO_PROXY: which hosts are reached directly. Parsed strictly before any network call, then asked for every connection.

There is no standard. The convention is that of Go's `net/http` (package `golang.org/x/net/http/httpproxy`), because
Kubernetes, containerd and kubeadm read the same list on the nodes: `example.com` is the name and what lies below it,
`.example.com` and `*.example.com` only what lies below it, addresses match addresses and networks, and names are never
resolved to match an address. Unlike Go, `localhost` and 127.0.0.0/8 are not left out unasked. Used by `proxies`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from pcg.errors import InvalidInput

MAXIMUM_CHARACTERS = 16 * 1024

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Entry:
    """One entry. Neither `name` nor `network` means every host; `port` None means every port."""

    name: str = ""
    """in lower case, without its leading dot"""
    below_only: bool = False
    """`.name`: what lies below the name, and not itself"""
    network: Network | None = None
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        """`host` as it stands in a URL, without brackets."""
        if self.port is not None and self.port != port:
            return False
        if not self.name and self.network is None:
            return True
        address = as_address(host)
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        if address is not None:
            return False
        plain = host.lower().rstrip(".")
        return plain.endswith(f".{self.name}") or (plain == self.name and not self.below_only)

    def __str__(self) -> str:
        """As `parse_no_proxy` reads it again."""
        if self.network is None:
            text = ("." if self.below_only else "") + (self.name or "*")
        else:
            whole = self.network.prefixlen == self.network.max_prefixlen
            text = str(self.network.network_address if whole else self.network)
            if self.port is not None and self.network.version == 6:
                text = f"[{text}]"
        return text if self.port is None else f"{text}:{self.port}"


def parse_no_proxy(typed: str) -> tuple[tuple[Entry, ...], list[str]]:
    """The entries of a list separated by commas, and the notices of what was normalised.

    Raises InvalidInput (reason `no-proxy-invalid`) with the first malformed entry named.
    """
    if len(typed) > MAXIMUM_CHARACTERS:
        raise _invalid(typed[:40] + "…", f"the list is longer than {MAXIMUM_CHARACTERS} characters")
    entries: list[Entry] = []
    notices: list[str] = []
    for item in typed.split(","):
        text = item.strip()
        if not text:
            continue
        try:
            entry = _entry(text.lower(), notices)
        except ValueError as error:
            raise _invalid(text, str(error)) from None
        if entry not in entries:
            entries.append(entry)
    return tuple(entries), notices


def as_address(host: str) -> Address | None:
    """The address that `host` is, an IPv4 address in an IPv6 one as the former; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _entry(text: str, notices: list[str]) -> Entry:
    if any(symbol.isspace() or not symbol.isprintable() for symbol in text):
        raise ValueError("it has a blank inside; separate entries by commas")
    if "://" in text or "@" in text:
        raise ValueError("it is a URL; give only the host")
    host, port = split(text)
    if host == "*":
        return Entry(port=port)
    network = _network(host, notices)
    if network is not None:
        return Entry(network=network, port=port)
    below_only = host.startswith((".", "*."))
    name = host.removeprefix("*").removeprefix(".").removesuffix(".")
    check_name(name)
    return Entry(name=name, below_only=below_only, port=port)


def split(text: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port`, an IPv6 address or network bare (no port) or in brackets.

    Neither is checked but for the port. Raises ValueError with the reason.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ValueError("a ] is missing")
        if ":" not in host:
            raise ValueError("only an IPv6 address stands in brackets")
        if rest and not rest.startswith(":"):
            raise ValueError("after ] only :port may follow")
    elif text.count(":") > 1:
        return text, None
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
    if not host:
        raise ValueError("it has no host")
    if not rest:
        return host, None
    number = rest[1:]
    if not _PORT.fullmatch(number) or not 1 <= int(number) <= 65535:
        raise ValueError(f"{number!r} is not a port")
    return host, int(number)


def _network(host: str, notices: list[str]) -> Network | None:
    """None for what is a name. Raises ValueError for what looks like an address and is none."""
    if "%" in host:
        raise ValueError("it names an interface")
    if "/" not in host:
        address = as_address(host)
        if address is not None:
            return ipaddress.ip_network(address)
        if ":" in host or re.fullmatch(r"[0-9.*]+", host):
            raise ValueError("it is neither an IP address nor a name; a range of addresses is written as a CIDR")
        return None
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        raise ValueError("it is not a CIDR (ADDRESS/LENGTH)") from None
    if "." in host.partition("/")[2]:
        raise ValueError("write the length of the prefix as a number, not as a mask")
    if str(network) != str(ipaddress.ip_interface(host)):
        notices.append(f"no-proxy: {host} has bits set behind its prefix: {network} is used")
    return network


def check_name(name: str) -> None:
    """Raises ValueError for what is no host name in lower case (RFC 1123, 2.1, and underscores, which occur)."""
    if not name.isascii():
        raise ValueError("it has letters outside ASCII; write the name as name servers know it (xn--…)")
    if "*" in name:
        raise ValueError("a * stands only alone or as the first label (*.example.com)")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("it is neither a host name, a suffix, an address nor a CIDR")


def _invalid(entry: str, why: str) -> InvalidInput:
    # A proxy pasted here by mistake may bring its password along: only what follows the @ is shown.
    shown = repr(entry.rpartition("@")[2][:100])
    return InvalidInput(
        f"The no-proxy list is wrong at {shown}: {why}.",
        reason="no-proxy-invalid",
        field_name="no-proxy",
        remedy=["Give names, .suffixes, addresses and CIDRs, separated by commas, each with :PORT if need be."],
    )
