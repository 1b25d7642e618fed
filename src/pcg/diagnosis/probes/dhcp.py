"""The probe `dhcp`: does a server offer an address on this machine's own link? Needs CAP_NET_RAW, and says so.

Called by the plan for an adapter without an address, and where the configuration gives the nodes theirs by DHCP.
"""

from __future__ import annotations

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.network.dhcp_discover import discover
from pcg.network.interfaces import Adapter

TRIES = 2
WAIT_SECONDS = 3.0
"""servers look for a while whether an address is free before they offer it (RFC 2131, 3.1)"""


async def probe_dhcp(adapter: str, *, wait: float = WAIT_SECONDS) -> ProbeAnswer:
    async def look(question: ProbeAnswer) -> ProbeAnswer:
        try:
            offer = await discover(adapter, TRIES, wait)
        except PermissionError:
            return question.unknown("raw packets are not allowed to this process", needs="CAP_NET_RAW (root)")
        if offer is None:
            return question.failing("dhcp-no-answer", f"no offer to {TRIES} discovers on {adapter}")
        if offer.refused:
            return question.failing("dhcp-refused", f"the server {offer.server} refused (DHCPNAK)")
        return question.passed(f"{offer.server} offers {offer.address}; it was not taken")

    return await bounded(ProbeAnswer(About.ADDRESSES, "dhcp", adapter), look, TRIES * wait + 1, silence="failed")


def adapter_answer(adapter: Adapter) -> ProbeAnswer:
    """The probe `adapter`: whether it has an address at all."""
    question = ProbeAnswer(About.ADDRESSES, "adapter", adapter.name)
    if adapter.address:
        return question.passed(f"has {adapter.address}")
    if not adapter.up or not adapter.carrier:
        return question.failing("no-carrier", f"it is {'not connected' if adapter.up else 'down'}")
    return question.failing("no-address", "it has no IPv4 address")
