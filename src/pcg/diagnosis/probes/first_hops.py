"""The hops that every peer has in common, in their order: its name, the route to each address, its TCP port.

What lies behind a hop that failed is not asked: its answer would only repeat the failure. Called by the chains of the
console, vCenter, the ESXi hosts and the API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from pcg.diagnosis.probes.answer import About, ProbeAnswer
from pcg.diagnosis.probes.name import ask_names
from pcg.diagnosis.probes.route import probe_route
from pcg.diagnosis.probes.tcp import probe_tcp
from pcg.network.name_queries import NameServer
from pcg.network.reach import MAXIMUM_ADDRESSES

Heard = Callable[[ProbeAnswer], None]
"""told of each answer as it comes"""


async def first_hops(
    about: About,
    host: str,
    port: int,
    servers: Sequence[NameServer],
    heard: Heard,
    *,
    failing_as: str = "",
) -> str | None:
    """The first address that accepted; None where none did. `failing_as` is the kind of every failure here: what
    fails on the way to a proxy is the proxy's."""

    def tell(answer: ProbeAnswer) -> ProbeAnswer:
        told = replace(answer, kind=failing_as) if failing_as and answer.failed else answer
        heard(told)
        return told

    names, addresses = await ask_names(about, host, servers)
    for answer in names:
        tell(answer)
    addresses = addresses[:MAXIMUM_ADDRESSES]
    routes = await asyncio.gather(*(probe_route(about, address) for address in addresses))
    routed = [address for address, route in zip(addresses, map(tell, routes), strict=True) if not route.failed]
    ports = await asyncio.gather(*(probe_tcp(about, address, port, name=host) for address in routed))
    for answer in ports:
        tell(answer)
    return next((address for address, answer in zip(routed, ports, strict=True) if not answer.failed), None)
