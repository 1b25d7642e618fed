"""Step 6: exactly the wanted machines exist, run and have an address; all go forward side by side.

Each slot is looked at in every pass and taken one step further: made, started, waited for. What is here already is
found by its marks; a taken name means look again, and a stranger's machine is never touched.
"""

from __future__ import annotations

from dataclasses import replace

from pcg.clouds.base import MachineSpec, ObservedMachine, PowerState, TaskState, marks_of
from pcg.errors import AskPerson, Conflict, PcgError, TryAgain
from pcg.gateway.memory import Slot
from pcg.gateway.steps.address_concerns import LOOK_AGAIN_SECONDS as CONCERNED_SECONDS
from pcg.gateway.steps.address_concerns import USUAL_SECONDS, address_concern
from pcg.gateway.steps.addresses import claim_addresses, forget_what_does_not_hold, new_slot
from pcg.gateway.steps.departures import REBUILD, take_leave
from pcg.gateway.steps.draining import drain
from pcg.gateway.steps.drift import close_mended, hand_over, notice_deleted, notice_powered_off, notice_reconfigured
from pcg.gateway.steps.outcome import Done, Outcome, Situation, Wait
from pcg.gateway.steps.replacements import adopt_spare, drop_useless_spare, is_newer, replace_next, replacing
from pcg.model.configuration import MOST_NODES, Placement
from pcg.model.made_from import made_from
from pcg.model.naming import instance_uuid
from pcg.model.states import Severity
from pcg.nodes.cloud_config import NodePlan, meta_data, user_data

DISMISSED_SECONDS = 0.1
"""the next pass removes it"""

LOOK_AGAIN_SECONDS = 1.0
"""after a name was found taken, where nothing tells when whoever took it shows itself, or an address was lost"""


async def machines(situation: Situation) -> Outcome:
    found = situation.by_ordinal
    _adopt(situation, found)
    forget_what_does_not_hold(situation)
    waits: list[Wait] = []
    first_error: PcgError | None = None
    try:
        leaving = await drop_useless_spare(situation)
        waits += [leaving] if leaving is not None else []
    except PcgError as error:
        first_error = error  # told, but what the other machines need goes on: it may be what this lacks
    for slot in list(situation.cluster.slots):
        name = situation.name_of(slot)
        try:
            if slot.task is not None and await _still_under_way(situation, slot, name):
                waits.append(_under_way(slot, name))
                continue
            machine = found.get(slot.ordinal)
            if machine is not None:
                wait = await _further(situation, slot, machine)
            else:
                wait = await _make(situation, slot, name)
        except PcgError as error:
            first_error = first_error or error
            continue
        if wait:
            waits.append(wait)
    close_mended(situation)
    doing = replacing(situation)
    if first_error is not None:
        first_error.evidence += [doing] if doing else []
        raise first_error
    if not waits:
        return await _dismiss_surplus(situation, found) or await replace_next(situation) or Done()
    soonest = min((wait.retry_after for wait in waits if wait.retry_after is not None), default=None)
    tasks = "; ".join(wait.task for wait in waits)
    concern = next((wait.concern for wait in waits if wait.concern is not None), None)
    return Wait(f"{doing}: {tasks}" if doing else tasks, soonest, concern)


async def _dismiss_surplus(situation: Situation, found: dict[int, ObservedMachine]) -> Wait | None:
    """Of this incarnation, but nobody's slot: made for one that an older copy of this disk did not know of.

    Only once all others stand, and never while a newer desired state might want more than this one: three is the most.
    """
    cluster = situation.cluster
    unknown = found.keys() - {slot.ordinal for slot in cluster.slots}
    surplus = sorted(ordinal for ordinal in unknown if not is_newer(situation, found[ordinal]))
    if not surplus or not cluster.formed or len(cluster.seats) < MOST_NODES:
        return None
    machine = found[surplus[0]]
    wait = await drain(situation, machine.name)
    if wait is not None:
        return wait
    await take_leave(situation, machine.name)
    cluster.dismissed.append(surplus[0])
    situation.tell(
        "MachineSurplus",
        "It is one machine too many: it has left the cluster and is removed.",
        Severity.WARNING,
        machine=machine.name,
    )
    return Wait(f"removing {machine.name}, which is one too many", DISMISSED_SECONDS)


def _adopt(situation: Situation, found: dict[int, ObservedMachine]) -> None:
    """Machines of this incarnation that the memory does not know: it was lost or is older. They fill empty slots."""
    cluster = situation.cluster
    known = {slot.ordinal for slot in cluster.slots}
    for ordinal in sorted(found.keys() - known):
        cluster.next_ordinal = max(cluster.next_ordinal, ordinal + 1)
        empty = next((slot for slot in cluster.slots if slot.ordinal not in found and slot.task is None), None)
        if empty is not None:
            if cluster.spare is not None and cluster.spare.replaces == empty.ordinal:
                cluster.spare.replaces = ordinal
            empty.ordinal, empty.phase = ordinal, "made"
        elif len(cluster.seats) < situation.configuration.nodes.count:
            cluster.slots.append(Slot(ordinal=ordinal, kind="init" if ordinal == 1 else "join", phase="made"))
        else:
            adopt_spare(situation, found[ordinal])


async def _still_under_way(situation: Situation, slot: Slot, name: str) -> bool:
    """Look at the slot's task; forget it once it is over. Raises what made it fail."""
    assert slot.task is not None
    task = await situation.cloud.task(slot.task)
    if task is not None and task.state is TaskState.RUNNING:
        return True
    slot.task = None
    if task is not None and task.state is TaskState.FAILED:
        if slot.phase == "creating":
            slot.phase = "wanted"
        error = task.error
        if isinstance(error, Conflict):
            _name_is_taken(situation, slot, name, error)
            return False
        raise error if isinstance(error, PcgError) else TryAgain(f"A task for {name} failed: {error}")
    return False


async def _further(situation: Situation, slot: Slot, machine: ObservedMachine) -> Wait | None:
    """Take a machine that exists one step further; what is waited for, or None when it is up."""
    if slot.phase in ("wanted", "creating", "lost"):
        slot.phase = "made"
        situation.tell("MachineCreated", "The machine was made.", machine=machine.name)
    slot.machine = machine.id
    await notice_reconfigured(situation, slot, machine)
    if machine.power is not PowerState.ON:
        if slot.phase == "up":
            slot.phase = "made"
            await notice_powered_off(situation, slot, machine)
        task = await situation.cloud.start_machine(machine)
        slot.task = task.id if task.state is TaskState.RUNNING else None
        return Wait(f"starting {machine.name}")
    if slot.phase == "made":
        slot.phase = "started"
        situation.tell("MachineStarted", "The machine was powered on.", machine=machine.name)
    if machine.address is None:
        return _without_address(situation, slot, machine)
    if slot.phase != "up" or slot.address_lost:
        slot.phase, slot.address_lost = "up", False
        situation.tell("AddressAssigned", f"The machine has the address {machine.address}.", machine=machine.name)
    return None


def _without_address(situation: Situation, slot: Slot, machine: ObservedMachine) -> Wait:
    again = slot.phase == "up"
    task = f"waiting for {machine.name} " + ("to get its address again" if again else "to boot and get an address")
    if again and not slot.address_lost:
        # From here on it has as long as any machine that boots, however long nothing had moved before.
        slot.address_lost = True
        situation.tell("AddressLost", "The machine has no address any more.", machine=machine.name)
        return Wait(task, LOOK_AGAIN_SECONDS)
    left = situation.patience.left(USUAL_SECONDS)
    if left:
        return Wait(task, left)
    static = situation.configuration.network.addresses.static is not None
    return Wait(task, CONCERNED_SECONDS, address_concern(machine, static=static))


async def _make(situation: Situation, slot: Slot, name: str) -> Wait | None:
    """Make a machine that is not there; before, whatever of ours is under way is waited for."""
    # Only what makes it: of a machine that somebody else deletes, the deletion may still be under way.
    making = (task for task in situation.unfinished if task.kind == "create")
    under_way = next((task for task in making if task.machine_name == name), None)
    if under_way is not None:
        slot.task, slot.phase = under_way.id, "creating"
        return _under_way(slot, name)
    if slot.phase in ("made", "started", "up", "lost"):
        new = await _replacement(situation, slot, name)
        if new is None:
            return None
        slot, name = new, situation.name_of(new)
    if slot.kind == "join" and situation.api_address is None:
        # A joining node is told the API server's address: without a shared one it must be known first.
        return Wait("waiting for the first node's address")
    if slot.address is None:
        wait = await claim_addresses(situation)
        if wait is not None and slot.address is None:
            return wait
    try:
        task = await situation.cloud.create_machine(situation.gateway_id, _spec(situation, slot, name))
    except Conflict as error:
        _name_is_taken(situation, slot, name, error)
        return Wait(f"the name {name} is taken: looking again", LOOK_AGAIN_SECONDS)
    slot.task, slot.phase = task.id, "creating"
    # Once for each name: that it is tried again is told beside the step.
    situation.tell_once(f"creating {name}", "MachineCreating", "The machine is being made.", machine=name)
    return _under_way(slot, name)


async def _replacement(situation: Situation, slot: Slot, name: str) -> Slot | None:
    """A machine that was there is gone: a new one under a new ordinal, unless it was all of a cluster.

    The lost one leaves the cluster first (`departures`). None when a spare machine takes its seat.
    """
    cluster = situation.cluster
    if slot.phase != "lost":
        slot.phase = "lost"
        await notice_deleted(situation, slot, name)
    if cluster.formed and slot.replaces is None and len(cluster.slots) == 1:
        raise AskPerson(
            "The gateway cluster is lost: its only machine is gone.",
            reason="cluster-lost",
            evidence=[f"{name} does not exist any more"],
            remedy=[REBUILD],
        )
    if cluster.formed:
        await take_leave(situation, name)
    cluster.slots.remove(slot)
    situation.addresses.let_go(slot.address)
    if cluster.spare is not None and cluster.spare.replaces == slot.ordinal:
        hand_over(situation, slot, cluster.spare)
        cluster.spare.replaces = None
        return None
    new = new_slot(situation)
    new.replaces = slot.replaces
    hand_over(situation, slot, new)
    return new


def _name_is_taken(situation: Situation, slot: Slot, name: str, error: Conflict) -> None:
    """Ours, not seen yet: the next pass finds it by its marks. A stranger's: the next ordinal's name is taken."""
    if error.reason == "instance-exists":
        return
    seen = f"taken {name}"
    if seen not in situation.cluster.told:
        # Once more with fresh eyes: it may be our own machine that has only just appeared.
        situation.cluster.told.append(seen)
        return
    situation.tell(
        "MachineNameTaken",
        f"A machine that is not ours has the name {name}; it is left alone and another name is used.",
        Severity.WARNING,
        machine=name,
    )
    slot.ordinal = situation.cluster.next_ordinal
    situation.cluster.next_ordinal += 1
    situation.addresses.let_go(slot.address)
    # Should the taken name be our own after all, unseen, then the address is that machine's.
    slot.phase, slot.address = "wanted", None


def _spec(situation: Situation, slot: Slot, name: str) -> MachineSpec:
    configuration = situation.configuration
    instance = instance_uuid(situation.gateway_id, situation.cluster.incarnation, slot.ordinal)
    join = situation.api_address if slot.kind == "join" else None
    jet = situation.jet
    plan = NodePlan(name=name, join=join, endpoint=jet.url, ca_pem=jet.ca_pem, jet_template=jet.template)
    beside = (other.ordinal for other in situation.cluster.slots if other is not slot)
    plan = replace(plan, ordinal=slot.ordinal, joining=tuple(beside) if join is None else ())
    static = configuration.network.addresses.static
    address = slot.address if static is not None else None
    mark = situation.cluster.mark_of(slot)
    return MachineSpec(
        name=name,
        marks=marks_of(
            situation.gateway_id, mark, instance, address, made_from(configuration, situation.desired.generation)
        ),
        placement=_placement(situation, slot),
        template=situation.cluster.template,
        hardware=configuration.nodes.hardware,
        user_data=user_data(plan, configuration, situation.secrets),
        meta_data=meta_data(name, instance, configuration, address),
    )


def _placement(situation: Situation, slot: Slot) -> Placement:
    """Nodes are spread over the failure domains in turn; a spare goes where the one is that it replaces."""
    domains, cluster = situation.configuration.placement, situation.cluster
    seat = slot if slot.replaces is None else cluster.slot(slot.replaces) or slot
    return domains[cluster.slots.index(seat) % len(domains)]


def _under_way(slot: Slot, name: str) -> Wait:
    return Wait(f"making {name}" if slot.phase == "creating" else f"starting {name}")
