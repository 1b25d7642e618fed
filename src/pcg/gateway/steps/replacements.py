"""Rolling replacement: machines made from another size or image than is wanted now give way to new ones, one by one.

A spare machine is made and joins; only when its node is Ready and its etcd answers does the old one leave the cluster
and go. What each was made from is read off its mark, so a gateway that forgot everything goes on where it was. Called
by the step `machines`; the reasons are in docs/decisions/0016.
"""

from __future__ import annotations

from dataclasses import replace

from pcg.clouds.base import ObservedMachine
from pcg.errors import TryAgain
from pcg.gateway.etcd_api import CLIENT_PORT
from pcg.gateway.memory import Slot
from pcg.gateway.steps import join_secrets
from pcg.gateway.steps.addresses import new_slot
from pcg.gateway.steps.control_plane import SOON, control_plane
from pcg.gateway.steps.departures import take_leave
from pcg.gateway.steps.draining import drain, let_go_on
from pcg.gateway.steps.outcome import Situation, Wait
from pcg.gateway.steps.validate_configuration import needs_reset
from pcg.model.cluster_changes import parts_of_machine, refused_change
from pcg.model.made_from import made_from

_NEXT_PASS = 0.1
"""seconds; what has left is removed by the next pass"""


def is_outdated(situation: Situation, machine: ObservedMachine) -> bool:
    """Never because of a mark that is missing, and never one that was made for a newer desired state than is known."""
    wanted = made_from(situation.configuration, situation.desired.generation)
    made = machine.made_from
    if made is None:
        return machine.hardware is not None and machine.hardware != wanted.hardware
    return made.generation <= wanted.generation and not made.same_as(wanted)


def is_newer(situation: Situation, machine: ObservedMachine) -> bool:
    """Made for a desired state that this gateway does not know (yet): an older copy of its disk was put back."""
    made = machine.made_from
    return made is not None and made.generation > situation.desired.generation


def spares(situation: Situation) -> frozenset[int]:
    """Indexes of the placements in which a machine is outdated: each has a spare one beside it for a while."""
    slots, domains = situation.cluster.slots, situation.configuration.placement
    if situation.configuration.network.control_plane_address is None:
        return frozenset()  # refused: nothing is replaced
    return frozenset(slots.index(slot) % len(domains) for slot in _outdated(situation))


def adopt_spare(situation: Situation, machine: ObservedMachine) -> None:
    """A machine that the memory does not know, while all seats are taken: it was made to replace an outdated one."""
    cluster = situation.cluster
    if cluster.spare is not None or is_outdated(situation, machine) or machine.made_as is None:
        return
    outdated = _outdated(situation)
    if outdated:
        spare = Slot(ordinal=machine.made_as[1], kind="join", phase="made", replaces=outdated[0].ordinal)
        cluster.slots.append(spare)


async def drop_useless_spare(situation: Situation) -> Wait | None:
    """What is wanted has changed again: a spare that is outdated itself, or not needed any more, goes first."""
    cluster, found = situation.cluster, situation.by_ordinal
    spare = cluster.spare
    if spare is None or spare.task is not None:
        return None
    machine, old = found.get(spare.ordinal), found.get(spare.replaces or 0)
    if old is None:
        return None  # lost: the spare is all the more needed
    if is_outdated(situation, old) and (machine is None or not is_outdated(situation, machine)):
        return None
    name = situation.name_of(spare)
    if machine is not None:
        wait = await drain(situation, name)
        if wait is not None:
            return wait
        await take_leave(situation, name, "It is not needed any more")
        cluster.dismissed.append(spare.ordinal)
    elif any(task.machine_name == name for task in situation.unfinished) or spare.phase == "creating":
        return None
    cluster.slots.remove(spare)
    situation.addresses.let_go(spare.address)
    situation.tell("ReplacementDropped", "Another size or image is wanted since: it is not needed.", machine=name)
    return None


async def replace_next(situation: Situation) -> Wait | None:
    """All machines stand. Lets the old one go whose replacement has joined, or begins the next; None: none is left."""
    cluster = situation.cluster
    if cluster.spare is not None:
        return await _finish(situation, cluster.spare)
    outdated = _outdated(situation)
    if not outdated:
        return None
    if situation.configuration.network.control_plane_address is None:
        _refuse(situation, situation.by_ordinal[outdated[0].ordinal])
        return None
    if not cluster.formed:
        # Before there is a cluster, nothing could take a machine's place in it.
        outcome = await control_plane(situation)
        if isinstance(outcome, Wait):
            return outcome
    return _begin(situation, await _weakest(situation, outdated))


def replacing(situation: Situation) -> str:
    """`replacing A by B (1 of 3)` while it goes on, else empty."""
    spare = situation.cluster.spare
    old = situation.cluster.slot(spare.replaces or 0) if spare is not None else None
    if spare is None or old is None:
        return ""
    return f"replacing {situation.name_of(old)} by {situation.name_of(spare)} ({progress(situation, old)})"


def progress(situation: Situation, old: Slot) -> str:
    """Seen, not counted: as many as are outdated are still to come."""
    seats = situation.cluster.seats
    left = {slot.ordinal for slot in _outdated(situation)} | {old.ordinal}
    return f"{len(seats) - len(left) + 1} of {len(seats)}"


def _begin(situation: Situation, old: Slot) -> Wait:
    machine = situation.by_ordinal[old.ordinal]
    spare = new_slot(situation)
    spare.replaces = old.ordinal
    was = str(machine.made_from) if machine.made_from else "another size"
    situation.tell(
        "MachineReplacing",
        f"Made from {was}; wanted is {made_from(situation.configuration, 0)}. "
        f"{situation.name_of(spare)} takes its place ({progress(situation, old)}).",
        machine=machine.name,
    )
    return Wait(f"{replacing(situation)}: making {situation.name_of(spare)}", _NEXT_PASS)


async def _finish(situation: Situation, spare: Slot) -> Wait | None:
    cluster = situation.cluster
    old = cluster.slot(spare.replaces or 0)
    assert old is not None  # `machines` gives the seat to the spare when the old one is lost
    doing, name, old_name = replacing(situation), situation.name_of(spare), situation.name_of(old)
    lacking = await _lacking(situation, spare, old)
    if lacking:
        return Wait(f"{doing}: waiting for {lacking}", SOON)
    wait = await drain(situation, old_name)
    if wait is not None:
        return replace(wait, task=f"{doing}: {wait.task}")
    await take_leave(situation, old_name, "It was replaced")
    cluster.dismissed.append(old.ordinal)
    cluster.slots.remove(spare)
    cluster.slots[cluster.slots.index(old)] = spare
    spare.replaces = None
    situation.tell("MachineReplaced", f"{name} has taken its place; it is removed.", machine=old_name)
    return Wait(f"{doing}: removing {old_name}", _NEXT_PASS)


async def _lacking(situation: Situation, spare: Slot, old: Slot) -> str:
    """What must be before the old one may go, or nothing: the quorum must never depend on a machine that is not well.

    Other outdated machines need not be Ready: to replace them may be what mends them.
    """
    name = situation.name_of(spare)
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        nodes = await api.nodes()
        await let_go_on(api, nodes, (situation.name_of(slot) for slot in situation.cluster.slots if slot is not old))
        ready = {node for node, state in nodes.items() if state.ready}
        if name not in ready:
            # The step `nodes`, which lets all others in, comes only after this one.
            await join_secrets.tend(situation, api, nodes)
            return f"{name} to join"
    outdated = {slot.ordinal for slot in _outdated(situation)}
    rest = [slot for slot in situation.cluster.slots if slot is not old]
    unwell = [situation.name_of(slot) for slot in rest if situation.name_of(slot) not in ready]
    must_be_well = {situation.name_of(slot) for slot in rest if slot.ordinal not in outdated}
    if must_be_well.intersection(unwell) or 2 * len(unwell) >= len(rest):
        return f"{', '.join(unwell)} to be Ready"
    return "" if await _has_a_vote(situation, spare) else f"etcd on {name}"


async def _has_a_vote(situation: Situation, spare: Slot) -> bool:
    """Asked of its own etcd: an answer about members is one that the whole of etcd has agreed on."""
    address = situation.by_ordinal[spare.ordinal].address
    try:
        async with situation.etcd(f"{address}:{CLIENT_PORT}", situation.secrets, situation.etcd_certificate()) as etcd:
            return situation.name_of(spare) in await etcd.voters()
    except TryAgain:
        return False


async def _weakest(situation: Situation, outdated: list[Slot]) -> Slot:
    """One whose node is not Ready, if there is such: the others bear the quorum. Raises TryAgain: the API is away."""
    ready = await _ready(situation)
    return next((slot for slot in outdated if situation.name_of(slot) not in ready), outdated[0])


async def _ready(situation: Situation) -> set[str]:
    """The nodes that are."""
    async with situation.kubernetes(situation.api_address or "", situation.secrets, situation.certificate()) as api:
        return {name for name, state in (await api.nodes()).items() if state.ready}


def _outdated(situation: Situation) -> list[Slot]:
    found = situation.by_ordinal
    return [
        slot
        for slot in situation.cluster.seats
        if slot.ordinal in found and is_outdated(situation, found[slot.ordinal])
    ]


def _refuse(situation: Situation, machine: ObservedMachine) -> None:
    """Raises AskPerson where it is known that another size or image was asked for, which cannot be."""
    if machine.made_from is not None:
        refused = refused_change(1, parts_of_machine(machine.made_from), situation.configuration)
        if refused is not None:
            raise needs_reset(refused)
