"""The probe `route`: which way packets to an address would leave this machine. Nothing is sent, no right is needed.

Connecting a UDP socket makes the kernel choose a route, as `ip route get` does, and tells the source address; interface
and router are then read from `/proc/net/route` (IPv4 on Linux). A netlink library would tell no more that matters here.
"""

from __future__ import annotations

import ipaddress
import socket

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.network.arp_probe import best_route, read_routes

SECONDS = 1.0
_DISCARD = 9
"""any port will do"""


async def probe_route(about: About, address: str, *, seconds: float = SECONDS) -> ProbeAnswer:
    async def look(question: ProbeAnswer) -> ProbeAnswer:
        value = ipaddress.ip_address(address)
        family = socket.AF_INET6 if value.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as chosen:
            chosen.setblocking(False)
            chosen.connect((address, _DISCARD))
            source = chosen.getsockname()[0]
        told = f"from {source}"
        if source == str(value) or value.is_loopback:
            told = "on this machine"
        elif isinstance(value, ipaddress.IPv4Address) and (route := best_route(read_routes(), value)) is not None:
            told += f" by {route.interface}" + (f" through {route.router}" if route.router else ", on the same link")
        return question.passed(told)

    return await bounded(ProbeAnswer(about, "route", address), look, seconds)
