"""Removing machines of ours: all when none is wanted, and those of earlier incarnations before new ones are made.

Only genuine machines with our gateway's mark are touched; copies that a person made are reported and left alone.
Called by the reconciler, pass by pass; each call takes every machine one step further.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pcg.clouds.base import ObservedMachine, TaskState
from pcg.errors import NotFound, PcgError
from pcg.gateway.steps.outcome import Situation


class Cleaner:
    """Tells of each generation whether something of ours is left that it does not want, made or being made."""

    def __init__(self) -> None:
        self.clean_for: int | None = None
        """the generation for which the last look found nothing left"""
        self.since: datetime | None = None
        """when something unwanted was first seen; None while clean"""
        self._tasks: dict[str, str] = {}
        """vendor's tasks in flight, by machine; losing them costs one more look"""

    async def sweep(self, situation: Situation) -> list[str]:
        """Take what is not wanted one step towards its end; the names of what is still there."""
        wanted = situation.desired.mode == "run"
        ours = {situation.name_of(slot) for slot in situation.cluster.slots} if wanted else set()
        making = {task.machine_name for task in situation.unfinished if task.kind == "create"}
        present = {item.name for item in [*situation.unwanted, *situation.untold]}
        left = sorted(present | (making - ours))
        self.clean_for = None if left else situation.desired.generation
        self.since = (self.since or situation.clock.now()) if left else None
        # A machine that is still being made cannot be removed; it is as soon as it is there.
        await self._further(situation, [item for item in situation.unwanted if item.name not in making])
        return left

    async def _further(self, situation: Situation, machines: list[ObservedMachine]) -> None:
        first_error: PcgError | None = None
        present = {machine.id for machine in machines}
        self._tasks = {key: task for key, task in self._tasks.items() if key in present}
        for machine in machines:
            try:
                await self._one(situation, machine)
            except NotFound:
                continue  # gone meanwhile: what we wanted
            except PcgError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    async def _one(self, situation: Situation, machine: ObservedMachine) -> None:
        known = self._tasks.pop(machine.id, None)
        if known is not None:
            task = await situation.cloud.task(known)
            if task is not None and task.state is TaskState.RUNNING:
                self._tasks[machine.id] = known
                return
            if task is not None and task.state is TaskState.FAILED and isinstance(task.error, PcgError):
                raise task.error
        situation.tell_once(
            f"removing {machine.id}", "MachineRemoving", "The machine is being removed.", machine=machine.name
        )
        task = await situation.cloud.delete_machine(machine)
        if task.state is TaskState.RUNNING:
            self._tasks[machine.id] = task.id


def sort_out(situation: Situation, observed: Iterable[ObservedMachine], twins: Iterable[ObservedMachine]) -> None:
    """Which of ours are wanted, unwanted, or made for a newer desired state than the one known here.

    The last happens when an older copy of this gateway's disk was put back: by a desired state that is outdated nothing
    may be removed (DESIGN principle 3). Machines of an incarnation are made only after the reset that began it was
    carried out, so a state in which nothing of it is wanted yet is older than they are. Only a deletion is final.
    """
    desired = situation.desired
    first_untold = desired.incarnation + (1 if desired.mode == "run" else 0)
    situation.machines, situation.unwanted, situation.untold = [], [], []
    for machine in observed:
        incarnation, ordinal = machine.made_as or (None, None)
        if desired.mode == "run" and incarnation == desired.incarnation:
            dismissed = ordinal in situation.cluster.dismissed
            (situation.unwanted if dismissed else situation.machines).append(machine)
        elif desired.mode != "delete" and incarnation is not None and incarnation >= first_untold:
            situation.untold.append(machine)
        else:
            situation.unwanted.append(machine)
    untold = {machine.instance for machine in situation.untold}
    situation.unwanted += [twin for twin in twins if twin.instance not in untold]


def waiting_for(left: list[str], situation: Situation) -> str:
    """What a step says while something is `left`."""
    if not situation.untold:
        return f"waiting until {', '.join(left)} are removed"
    names = ", ".join(sorted(machine.name for machine in situation.untold))
    return f"waiting for the console: {names} belongs to a newer desired state than the one known here"


def split(
    machines: Iterable[ObservedMachine],
) -> tuple[list[ObservedMachine], list[ObservedMachine], list[ObservedMachine]]:
    """Ours, one for each mark; the younger twins of one mark; and copies that a person made."""
    ours: dict[str, ObservedMachine] = {}
    twins: list[ObservedMachine] = []
    copies: list[ObservedMachine] = []
    for machine in sorted(machines, key=lambda item: (item.created or 0.0, item.id)):
        if not machine.genuine:
            copies.append(machine)
        elif machine.instance in ours:
            twins.append(machine)
        else:
            ours[machine.instance] = machine
    return list(ours.values()), twins, copies
