"""ARP probes (RFC 5227): asking a link whether an IPv4 address is somebody's, in nobody's name.

Needs Linux and the right to raw packets (CAP_NET_RAW); without, or when no interface is on the address's link, nothing
is asked and the answer says so. Used by `address_in_use.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

PROBES = 3
"""RFC 5227, 1.1: PROBE_NUM; sent closer together than there, since a person waits and links are fast"""

_ROUTES = Path("/proc/self/net/route")
_ETHERTYPE_ARP = 0x0806
_BROADCAST, _NOBODY = b"\xff" * 6, b"\0" * 4
_HEADER = 14
"""bytes of Ethernet before the ARP packet"""
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_AND_IPV4 = (1, 0x0800, 6, 4)
"""kinds of addresses, and their lengths"""
_REQUEST = 1
_ROUTE_UP, _ROUTE_BY_GATEWAY = 1, 2


@dataclass(frozen=True)
class ArpAnswer:
    asked: int
    """probes sent; 0: it could not be asked"""
    mac: str = ""
    """of whoever has the address, or wants it at the same moment"""


async def arp_probe(address: str, seconds: float) -> ArpAnswer:
    """Takes the whole time unless somebody answers."""
    value = ipaddress.ip_address(address)
    interface = _interface(value) if isinstance(value, ipaddress.IPv4Address) else None
    family = getattr(socket, "AF_PACKET", None)
    if interface is None or family is None:
        return ArpAnswer(0)
    try:
        link = socket.socket(family, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ARP))
    except OSError:
        return ArpAnswer(0)
    with link:
        link.setblocking(False)
        try:
            link.bind((interface, _ETHERTYPE_ARP))
            own = link.getsockname()[4]
            return await _ask(link, own, value.packed, seconds) if len(own) == 6 else ArpAnswer(0)
        except OSError:
            return ArpAnswer(0)


async def _ask(link: socket.socket, own: bytes, wanted: bytes, seconds: float) -> ArpAnswer:
    loop, probe, sent = asyncio.get_running_loop(), probe_packet(own, wanted), 0
    answer = asyncio.ensure_future(_hear(link, own, wanted))
    try:
        for _ in range(PROBES):
            await loop.sock_sendall(link, probe)
            sent += 1
            done, _ = await asyncio.wait([answer], timeout=seconds / PROBES)
            if done:
                return ArpAnswer(sent, answer.result())
        return ArpAnswer(sent)
    finally:
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)


async def _hear(link: socket.socket, own: bytes, wanted: bytes) -> str:
    loop = asyncio.get_running_loop()
    while True:
        mac = claimant(await loop.sock_recv(link, 2048), own, wanted)
        if mac:
            return mac


def probe_packet(own: bytes, wanted: bytes) -> bytes:
    """An Ethernet frame: who has `wanted`? In nobody's name, so that no cache learns anything from it."""
    ethernet = _BROADCAST + own + struct.pack("!H", _ETHERTYPE_ARP)
    return ethernet + _ARP.pack(*_ETHERNET_AND_IPV4, _REQUEST, own, _NOBODY, b"\0" * 6, wanted)


def claimant(frame: bytes, own: bytes, wanted: bytes) -> str:
    """The MAC of whoever this frame shows to have the address, or to probe for it too; empty: it shows neither."""
    if len(frame) < _HEADER + _ARP.size:
        return ""
    *kind, operation, sender, sender_address, _, target_address = _ARP.unpack_from(frame, _HEADER)
    if tuple(kind) != _ETHERNET_AND_IPV4 or sender == own:
        return ""
    has = sender_address == wanted
    probes = operation == _REQUEST and sender_address == _NOBODY and target_address == wanted
    return ":".join(f"{byte:02x}" for byte in sender) if has or probes else ""


def _interface(address: ipaddress.IPv4Address) -> str | None:
    return on_link(read_routes(), address)


def on_link(lines: list[str], address: ipaddress.IPv4Address) -> str | None:
    """The interface whose link the address is on; None when the way there leads through a router."""
    route = best_route(lines, address)
    return route.interface if route is not None and not route.router else None


@dataclass(frozen=True)
class Route:
    interface: str
    router: str
    """empty: the address is on the interface's own link"""


def read_routes() -> list[str]:
    """The lines of `/proc/net/route` without their heading; empty where there is no such file."""
    try:
        return _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []


def best_route(lines: list[str], address: ipaddress.IPv4Address) -> Route | None:
    """The most specific route of `/proc/net/route` (its numbers are in the machine's byte order); None: no route."""
    best: tuple[int, Route | None] = (-1, None)
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & _ROUTE_UP:
            continue
        target, mask = (struct.pack("=I", int(fields[index], 16)) for index in (1, 7))
        network = int.from_bytes(target, "big"), int.from_bytes(mask, "big")
        if int(address) & network[1] == network[0] and network[1] > best[0]:
            by_router = int(fields[3], 16) & _ROUTE_BY_GATEWAY
            router = str(ipaddress.IPv4Address(struct.pack("=I", int(fields[2], 16)))) if by_router else ""
            best = (network[1], Route(fields[0], router))
    return best[1]
