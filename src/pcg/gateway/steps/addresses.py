"""Step 5: every wanted machine has its place: a slot with an ordinal, and from a static pool an address.

The claim is kept before any machine is made, and stands again in the machine's own meta data.
"""

from __future__ import annotations

import ipaddress

from pcg.errors import ResourcesMissing
from pcg.gateway.memory import Slot
from pcg.gateway.steps.outcome import Done, Outcome, Situation
from pcg.model.cluster_changes import fixed_parts

SPARE_ADDRESSES = 3
"""needed beside the nodes' own: control-plane address, one for a rolling replacement, one for its predecessor"""


async def assign_addresses(situation: Situation) -> Outcome:
    cluster = situation.cluster
    if not cluster.standing:
        # Nothing was made yet: whatever is wanted now counts, and fewer machines than before may be.
        cluster.fixed = fixed_parts(situation.configuration)
        del cluster.slots[situation.configuration.nodes.count :]
    while len(cluster.slots) < situation.configuration.nodes.count:
        new_slot(situation)
    for slot in cluster.slots:
        if slot.address is None:
            slot.address = free_address(situation)
    situation.tell_once(
        f"addresses {situation.desired.generation}",
        "AddressesAssigned",
        "Addresses come by DHCP."
        if situation.configuration.network.addresses.static is None
        else "Addresses: " + ", ".join(slot.address or "" for slot in cluster.slots),
    )
    return Done()


def new_slot(situation: Situation) -> Slot:
    """The next ordinal. The first machine of a cluster that was never formed starts it; all others join."""
    cluster = situation.cluster
    starts = not cluster.formed and not any(slot.kind == "init" for slot in cluster.slots)
    slot = Slot(ordinal=cluster.next_ordinal, kind="init" if starts else "join")
    cluster.next_ordinal += 1
    cluster.slots.append(slot)
    return slot


def free_address(situation: Situation) -> str | None:
    """The lowest address of the static pool that nobody of ours has; None with DHCP. Raises ResourcesMissing."""
    static = situation.configuration.network.addresses.static
    if static is None:
        return None
    first, last = (int(bound) for bound in static.bounds)
    network = situation.configuration.network
    taken = {slot.address for slot in situation.cluster.slots} | {static.gateway, network.control_plane_address}
    taken |= {machine.address for machine in situation.machines}
    needed = situation.configuration.nodes.count + SPARE_ADDRESSES
    if last - first + 1 >= needed:
        for value in range(first, last + 1):
            address = str(ipaddress.ip_address(value))
            if address not in taken:
                return address
    raise ResourcesMissing(
        f"The address pool {static.range} is too small: {needed} addresses are needed.",
        reason="address-pool-exhausted",
        evidence=[f"the pool has {last - first + 1}; {len(taken - {None})} are taken"],
        remedy=["Enlarge the pool in the configuration."],
        fields={
            "resource": "addresses",
            "where": f"{static.bounds[0]}-{static.bounds[1]}",
            "needed": str(needed),
            "free": str(last - first + 1),
        },
    )
