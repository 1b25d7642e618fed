"""The probe `address`: does somebody already have an address that shall be the cluster's? Only asked before it has one.

`pcg.network.address_in_use` looks by ARP (needs CAP_NET_RAW), TCP and the neighbour table. Called by the plan.
"""

from __future__ import annotations

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.network.address_in_use import Presence, address_in_use
from pcg.network.knocking import LIMIT_SECONDS


async def probe_address(address: str, *, seconds: float = LIMIT_SECONDS + 1.0) -> ProbeAnswer:
    async def look(question: ProbeAnswer) -> ProbeAnswer:
        found = await address_in_use(address)
        if found.presence is Presence.IN_USE:
            return question.failing("address-in-use", found.evidence)
        if found.presence is Presence.FREE:
            return question.passed(found.evidence)
        return question.unknown(found.evidence, needs="a place on the same link, and CAP_NET_RAW for ARP")

    return await bounded(ProbeAnswer(About.ADDRESSES, "address", address), look, seconds)
