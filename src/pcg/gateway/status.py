"""The whole status of the gateway, composed from what the reconciler knows; sent by the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from pcg.clock import Clock
from pcg.clouds.base import ObservedMachine, PowerState
from pcg.gateway.memory import ClusterMemory, Memory
from pcg.gateway.steps_ledger import Ledger
from pcg.model.desired import DesiredState
from pcg.model.naming import instance_uuid, machine_name
from pcg.model.records import ConditionReport, GatewayStatus, MachineReport
from pcg.model.states import (
    STALLED_AFTER_SECONDS,
    ConditionName,
    MachineRole,
    MachineState,
    StepName,
)

_CREDENTIALS = ("credentials-needed", "credentials-rejected", "password-expired")


def compose_status(
    memory: Memory,
    ledger: Ledger,
    observed: Sequence[ObservedMachine],
    clock: Clock,
    *,
    gateway_id: str,
    gateway_name: str,
    clean_for: int | None,
    cleaning_since: datetime | None,
    lost_since: datetime | None,
) -> GatewayStatus:
    desired = memory.desired
    if desired is None:
        return GatewayStatus(generation=0, incarnation=0, steps=ledger.reports())
    wanted = desired.mode == "run"
    return GatewayStatus(
        generation=desired.generation,
        incarnation=desired.incarnation,
        steps=ledger.reports() if wanted and memory.steps_generation == desired.generation else [],
        machines=[
            *(_machine(item, desired, ledger, memory.cluster) for item in observed),
            *(_unseen(memory.cluster, observed, gateway_id, gateway_name) if wanted else ()),
        ],
        conditions=_conditions(memory, ledger, clock, cleaning_since, lost_since),
        clean=clean_for == desired.generation,
    )


def _machine(machine: ObservedMachine, desired: DesiredState, ledger: Ledger, cluster: ClusterMemory) -> MachineReport:
    mark = machine.made_as or (0, 0)
    dismissed = mark[0] == cluster.incarnation and mark[1] in cluster.dismissed
    if desired.mode == "delete" or mark[0] < desired.incarnation or dismissed:
        state = MachineState.DELETING
    elif machine.power is not PowerState.ON:
        state = MachineState.STARTING
    elif machine.address is None or not ledger.is_done(StepName.NODES):
        state = MachineState.BOOTING
    else:
        state = MachineState.READY
    return MachineReport(
        name=machine.name,
        role=MachineRole.CONTROL_PLANE,
        state=state,
        address=machine.address,
        instance=machine.instance,
        incarnation=mark[0],
    )


def _unseen(
    cluster: ClusterMemory, observed: Sequence[ObservedMachine], gateway_id: str, gateway_name: str
) -> Iterator[MachineReport]:
    """Machines that are being made, or are lost: wanted, and not (any more) among those that the cloud reports."""
    seen = {machine.instance for machine in observed}
    states = {"creating": MachineState.CREATING, "lost": MachineState.LOST}
    for slot in cluster.slots:
        instance = instance_uuid(gateway_id, cluster.incarnation, slot.ordinal)
        if slot.phase in states and instance not in seen:
            yield MachineReport(
                name=machine_name(gateway_id, gateway_name, cluster.incarnation, slot.ordinal),
                role=MachineRole.CONTROL_PLANE,
                state=states[slot.phase],
                instance=instance,
                incarnation=cluster.incarnation,
            )


def _conditions(
    memory: Memory, ledger: Ledger, clock: Clock, cleaning_since: datetime | None, lost_since: datetime | None
) -> list[ConditionReport]:
    found = []
    problem = next((step.last_error for step in memory.steps.values() if step.last_error), None)
    mode = memory.desired.mode if memory.desired else "idle"
    hindered = problem if mode != "run" else None
    if hindered is not None:
        # No step is shown while nothing is wanted, so what hinders the removal is told here.
        found.append(
            ConditionReport(
                name=ConditionName.CLEANING_UP,
                reason=hindered.reason,
                message=f"Machines cannot be removed now: {hindered.what}",
                since=cleaning_since or hindered.at,
            )
        )
    elif cleaning_since is not None:
        found.append(
            ConditionReport(
                name=ConditionName.CLEANING_UP,
                reason="machines-left",
                message="Machines that are not wanted any more are being removed.",
                since=cleaning_since,
            )
        )
    if lost_since is not None:
        found.append(
            ConditionReport(
                name=ConditionName.CLUSTER_LOST,
                reason="machine-deleted-outside",
                message="The only machine of the gateway cluster is gone; reset and configure to build a new one.",
                since=lost_since,
            )
        )
    if problem is not None and problem.reason in _CREDENTIALS:
        found.append(
            ConditionReport(
                name=ConditionName.CREDENTIALS_NEEDED, reason=problem.reason, message=problem.what, since=problem.at
            )
        )
    cleaning = cleaning_since is not None or hindered is not None
    busy = cleaning or (mode == "run" and not all(ledger.is_done(name) for name in StepName))
    still = clock.monotonic() - ledger.progressed_at
    if busy and still >= STALLED_AFTER_SECONDS:
        found.append(
            ConditionReport(
                name=ConditionName.STALLED,
                reason="no-progress",
                message=f"Nothing has moved for {int(still // 60)} minutes; look at the step that is not done, "
                "or at what hinders the removal.",
                since=clock.now() - timedelta(seconds=still - STALLED_AFTER_SECONDS),
            )
        )
    return found
