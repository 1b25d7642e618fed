"""Whether somebody already has an address: asked before a machine is given it. Called by the gateway's address claims.

A ping alone proves little, since hosts are told to stay silent. Three things are looked at side by side, within
`LIMIT_SECONDS`: ARP probes (`arp_probe.py`, where this process may), connections to a few ports that machines have, and
what the kernel's own neighbour table learnt from trying to connect.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pcg.network.arp_probe import arp_probe
from pcg.network.knocking import LIMIT_SECONDS, Knock, knock

PORTS = (22, 80, 443, 6443, 10250)
"""ssh, HTTP, HTTPS, an API server, a kubelet"""

_NOBODY = "127.255.255.254"
"""on loopback everything is local: what answers at this address too listens at all of them"""

_NEIGHBOURS = Path("/proc/self/net/arp")
_NO_MAC = "00:00:00:00:00:00"


class Presence(StrEnum):
    IN_USE = "in-use"
    FREE = "free"
    CANNOT_TELL = "cannot-tell"


@dataclass(frozen=True)
class AddressAnswer:
    presence: Presence
    evidence: str
    mac: str = ""
    """of whoever has it, where that was seen"""


async def address_in_use(address: str, ports: tuple[int, ...] = PORTS) -> AddressAnswer:
    """Never raises for what the network does. What is not on the same link and does not answer: cannot tell."""
    if ipaddress.ip_address(address).is_loopback:
        return await _on_loopback(address, ports)
    before = _neighbour(address)
    (arp, answered) = await asyncio.gather(arp_probe(address, LIMIT_SECONDS), _first_answer(address, ports))
    after = _neighbour(address)
    if arp.mac:
        return AddressAnswer(Presence.IN_USE, f"{arp.mac} answered an ARP probe for {address}", arp.mac)
    if answered is not None:
        mac = after or ""
        return AddressAnswer(Presence.IN_USE, f"{address} answered on TCP port {answered}", mac)
    if after and not before:
        return AddressAnswer(Presence.IN_USE, f"{after} answered for {address} (neighbour table)", after)
    if arp.asked:
        return AddressAnswer(Presence.FREE, f"nobody answered {arp.asked} ARP probes for {address}")
    if after == "":
        return AddressAnswer(Presence.FREE, f"the kernel found no neighbour with {address}")
    why = "an old entry of the neighbour table may be stale" if after else "it is not on the same link as this gateway"
    return AddressAnswer(Presence.CANNOT_TELL, f"nobody answered at {address}, but {why}")


async def _on_loopback(address: str, ports: tuple[int, ...]) -> AddressAnswer:
    async def accepts(port: int) -> bool:
        return await knock(address, port) is Knock.OPEN and await knock(_NOBODY, port) is not Knock.OPEN

    accepted = await asyncio.gather(*(accepts(port) for port in ports))
    port = next((port for port, yes in zip(ports, accepted, strict=True) if yes), None)
    if port is not None:
        return AddressAnswer(Presence.IN_USE, f"{address} answered on TCP port {port}")
    return AddressAnswer(Presence.CANNOT_TELL, f"{address} is a loopback address: all of them are local")


async def _first_answer(address: str, ports: tuple[int, ...]) -> int | None:
    """The first of the ports on which somebody answered, be it with a refusal."""
    answers = await asyncio.gather(*(knock(address, port) for port in ports))
    return next((port for port, answer in zip(ports, answers, strict=True) if answer is not Knock.SILENT), None)


def _neighbour(address: str) -> str | None:
    """The MAC in the kernel's table; empty where the kernel asks in vain; None without an entry (or for IPv6)."""
    try:
        lines = _NEIGHBOURS.read_text().splitlines()[1:]
    except OSError:
        return None
    return neighbour_in(lines, address)


def neighbour_in(lines: list[str], address: str) -> str | None:
    """`/proc/net/arp` (proc(5)): IP address, HW type, Flags, HW address, Mask, Device; flag 2: it is complete."""
    found: str | None = None
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[0] == address:
            complete = int(fields[2], 16) & 2 and fields[3] != _NO_MAC
            found = fields[3] if complete else found or ""
    return found
