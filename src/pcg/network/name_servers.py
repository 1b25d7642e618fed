"""Names asked of the name servers that a person gave, instead of this machine's own: an event loop that resolves so.

`pcg install` runs its gateway in it when name servers are given. Whatever connects in that loop (httpx, websockets,
streams) comes through here; blocking code in threads asks this machine's resolver as ever. Only DNS is asked, no hosts
file, and the addresses come as the servers order them, IPv4 first. dnspython is imported with the first query, for
gateways without name servers shall not pay for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pcg.errors import InvalidInput
from pcg.network.addresses import is_address
from pcg.network.name_queries import NameServer, Resolver

MAXIMUM = 3
"""as in resolv.conf"""
TRY_SECONDS = 3.0
ALL_SECONDS = 6.0
_PORT = re.compile(r"[0-9]{1,5}")
_KINDS = {socket.AF_INET: ("A",), socket.AF_INET6: ("AAAA",), socket.AF_UNSPEC: ("A", "AAAA")}


def parse_name_servers(typed: str) -> tuple[NameServer, ...]:
    """Of `10.0.0.2, 10.0.0.3:5353, [fd00::1]:53`. Raises InvalidInput (reason `name-servers-invalid`)."""
    found: list[NameServer] = []
    for item in typed.split(","):
        try:
            server = _server(item.strip())
        except ValueError as error:
            raise _invalid(str(error)) from None
        if server in found:
            raise _invalid(f"{item.strip()} is named twice")
        found.append(server)
    if len(found) > MAXIMUM:
        raise _invalid(f"{len(found)} are given, and no more than {MAXIMUM} are asked")
    return tuple(found)


def loop_factory(name_servers: Sequence[NameServer]) -> Callable[[], asyncio.AbstractEventLoop]:
    """For `asyncio.Runner(loop_factory=…)`. Without name servers it makes the plain loop."""
    return partial(ResolvingLoop, name_servers) if name_servers else asyncio.new_event_loop


class ResolvingLoop(asyncio.SelectorEventLoop):
    """`try_seconds` for one query to one server, `all_seconds` for a name."""

    def __init__(
        self,
        name_servers: Sequence[NameServer],
        *,
        try_seconds: float = TRY_SECONDS,
        all_seconds: float = ALL_SECONDS,
    ) -> None:
        super().__init__()
        self._resolver = Resolver(name_servers, try_seconds, all_seconds, self.time)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As the system's. Raises socket.gaierror with the words of who answered what."""
        ask = partial(super().getaddrinfo, family=family, type=type, proto=proto)
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not name or flags & socket.AI_NUMERICHOST or _needs_no_server(name) or family not in _KINDS:
            return await ask(host, port, flags=flags)
        kinds = _KINDS[socket.AddressFamily(family)]
        mapped = family == socket.AF_INET6 and flags & socket.AI_V4MAPPED
        addresses = await self._resolver.addresses(name, ("AAAA", "A") if mapped else kinds)
        if mapped and not flags & socket.AI_ALL:
            addresses = [address for address in addresses if ":" in address] or addresses
        numeric = (flags & ~socket.AI_CANONNAME) | socket.AI_NUMERICHOST
        found: list[Any] = []
        # The system makes of each address what type, protocol, service name and flags ask for.
        for address in addresses:
            found += await ask(address, port, flags=numeric)
        if flags & socket.AI_CANONNAME:
            found[0] = (*found[0][:3], name.rstrip("."), found[0][4])
        return found


def _needs_no_server(name: str) -> bool:
    return name.rstrip(".").lower() == "localhost" or is_address(name)


def _server(text: str) -> NameServer:
    """Raises ValueError with the reason."""
    host, rest = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError(f"{text[:80]!r} is not an address: an IPv6 address with a port is written [ADDRESS]:PORT")
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
        rest = colon + port
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not an address (a name would have to be resolved first)") from None
    if address.is_unspecified or address.is_multicast or "%" in host:
        raise ValueError(f"{text[:80]!r} is not the address of one machine")
    number = rest[1:] if rest else "53"
    if not _PORT.fullmatch(number) or not 1 <= int(number) <= 65535:
        raise ValueError(f"{number[:80]!r} is not a port")
    return str(address), int(number)


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(
        f"The name servers are wrong: {why}.",
        reason="name-servers-invalid",
        field_name="name-servers",
        remedy=[f"Give up to {MAXIMUM} addresses, for example 10.0.0.2,10.0.0.3:5353,[fd00::1]:53."],
    )
