"""Step 5: every wanted machine has its place: a slot with an ordinal, and from a static pool an address.

The claim is kept before any machine is made, and stands again in the machine's own marks and meta data.
"""

from __future__ import annotations

from pcg.errors import PcgError, ResourcesMissing
from pcg.gateway.address_claims import Search
from pcg.gateway.memory import Slot
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.gateway.ways_ahead import address_taken
from pcg.model.address_plan import Pool, needed_addresses, pool_of, size_of
from pcg.model.cluster_changes import fixed_parts
from pcg.model.naming import MARK_ADDRESS
from pcg.model.states import Severity
from pcg.network.address_in_use import Presence

LOOK_FURTHER_SECONDS = 1.0
"""after as many addresses as one pass asks for were found in use"""


async def assign_addresses(situation: Situation) -> Outcome:
    cluster = situation.cluster
    if not cluster.standing:
        # Nothing was made yet: whatever is wanted now counts, and fewer machines than before may be.
        cluster.fixed = fixed_parts(situation.configuration)
        for slot in cluster.slots[situation.configuration.nodes.count :]:
            cluster.slots.remove(slot)
            situation.addresses.let_go(slot.address)
    while len(cluster.seats) < situation.configuration.nodes.count:
        new_slot(situation)
    forget_what_does_not_hold(situation)
    await _demand_free_control_plane_address(situation)
    wait = await claim_addresses(situation)
    if wait is not None:
        return wait
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


def forget_what_does_not_hold(situation: Situation) -> None:
    """A machine that is there has the address that it was made with; one that is not yet, one of the present pool."""
    pool, book = pool_of(situation.configuration.network), situation.addresses.book
    found = situation.by_ordinal
    for slot in situation.cluster.slots:
        machine = found.get(slot.ordinal)
        if machine is not None:
            address = machine.marks.get(MARK_ADDRESS)
            if address is None and pool is not None and machine.address and machine.address in pool:
                address = machine.address
            slot.address = address or slot.address
        elif slot.phase in ("wanted", "creating") and slot.task is None and slot.address is not None:
            claim = book.claims.get(slot.address)
            elsewhere = claim is not None and claim.owner != situation.cluster.mark_of(slot)
            if elsewhere or pool is None or slot.address not in pool:
                slot.address = None


async def claim_addresses(situation: Situation) -> Wait | None:
    """Every slot without an address gets one, kept in memory when this returns. What is waited for, or None.

    Raises ResourcesMissing: the pool is too small, or nothing of it is left.
    """
    pool = pool_of(situation.configuration.network)
    found = situation.by_ordinal
    slots = situation.cluster.slots
    lacking = [slot for slot in slots if slot.address is None and slot.task is None and slot.ordinal not in found]
    if pool is None or not lacking:
        return None
    _demand_size(situation, pool)
    known = {slot.task for slot in slots}
    making = [task for task in situation.unfinished if task.kind == "create" and task.id not in known]
    if making:
        # This memory is older than they are: nobody here knows which addresses they have until they show themselves.
        return Wait("waiting for machines under way, which may have the next address: " + making[0].machine_name)
    search = await situation.addresses.search(pool, len(lacking))
    _tell_strangers(situation, search)
    for slot, address in zip(lacking, search.found, strict=False):
        slot.address = address
        name = situation.name_of(slot)
        situation.addresses.book.claim(address, situation.cluster.mark_of(slot))
        # The event commits the claim with it.
        situation.tell("AddressClaimed", f"The address {address} is kept for this machine.", machine=name)
    if len(search.found) == len(lacking):
        return None
    return _nothing_left(situation, pool) if search.exhausted else _look_further(pool)


def _look_further(pool: Pool) -> Wait:
    return Wait(f"looking for addresses of {pool} that nobody has", LOOK_FURTHER_SECONDS)


def _nothing_left(situation: Situation, pool: Pool) -> Wait:
    """Waiting helps when addresses only wait for time. Else raises ResourcesMissing."""
    claims = situation.addresses
    release = claims.book.next_release(pool)
    if release is not None:
        seconds = max((release - claims.now()).total_seconds(), LOOK_FURTHER_SECONDS)
        return Wait(
            f"waiting for an address of {pool}: the machines that had the free ones are gone for less than 5 minutes; "
            f"the next is free at {release:%H:%M:%S} UTC",
            seconds,
        )
    held = [f"{address} is claimed by machine {claim.owner}" for address, claim in claims.book.claims.items()]
    met = {address: stranger for address, stranger in claims.book.strangers.items() if address in pool}
    if not met:
        raise _exhausted(situation, pool, held)
    first = next(iter(met))
    macs = {stranger.mac for stranger in met.values() if stranger.mac}
    raise ResourcesMissing(
        f"No address of the pool {pool} is free: {len(met)} are in use by machines that are not ours.",
        reason="address-in-use",
        evidence=[stranger.evidence for stranger in met.values()][:16] + held[:8],
        cause=""
        if macs
        else "No MAC address was seen: where all addresses answer, a firewall or proxy in between may answer for them.",
        remedy=[
            "Find who has these addresses (by the MAC address, on the switch) and take them away, or give another pool."
        ],
        fields={
            "resource": "addresses",
            "where": str(pool),
            "needed": str(needed_addresses(situation.configuration.nodes.count)),
            "free": "0",
            "address": first,
            "mac": met[first].mac,
        },
    )


def _demand_size(situation: Situation, pool: Pool) -> None:
    size = size_of(pool, situation.configuration.network)
    if size < needed_addresses(situation.configuration.nodes.count):
        raise _exhausted(situation, pool, [f"the pool has {size}"])


def _exhausted(situation: Situation, pool: Pool, evidence: list[str]) -> PcgError:
    needed = needed_addresses(situation.configuration.nodes.count)
    claimed = sum(address in pool for address in situation.addresses.book.claims)
    size = size_of(pool, situation.configuration.network)
    return ResourcesMissing(
        f"The address pool {pool} is too small: {needed} addresses are needed.",
        reason="address-pool-exhausted",
        evidence=evidence[:16],
        remedy=["Enlarge the pool in the configuration."],
        fields={"resource": "addresses", "where": str(pool), "needed": str(needed), "free": str(size - claimed)},
    )


def _tell_strangers(situation: Situation, search: Search) -> None:
    for address, stranger in search.strangers.items():
        situation.tell_once(
            f"in use {address}",
            "AddressInUse",
            f"{address} is not given: {stranger.evidence}",
            severity=Severity.WARNING,
            fields={"reason": "address-in-use", "address": address, "mac": stranger.mac},
        )
    if search.untold:
        situation.tell_once(
            f"untold {situation.desired.generation}",
            "AddressUseUnknown",
            f"Whether addresses are in use cannot be told from here: {search.untold}",
        )


async def _demand_free_control_plane_address(situation: Situation) -> None:
    """Once more after preflight, since importing the template may take an hour. Before there is anything of ours that
    could hold it. Raises AskPerson."""
    shared = situation.configuration.network.control_plane_address
    if shared is None or situation.cluster.formed or situation.machines or situation.unfinished:
        return
    answer = await situation.addresses.ask(shared)
    if answer.presence is not Presence.IN_USE:
        return
    taken = address_taken(shared, answer.evidence, answer.mac)
    fields = {"reason": "address-in-use", "address": shared, "mac": answer.mac}
    situation.tell_once(
        f"in use {shared}", "AddressInUse", f"{taken.what} {answer.evidence}", severity=Severity.WARNING, fields=fields
    )
    raise taken
