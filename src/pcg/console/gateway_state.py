"""What a gateway's row means: its state, conditions, address, steps and machines. Pure; used by the service.

The state is derived and never stored, so that it cannot disagree with what it is derived from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pcg.console.presence import Presence
from pcg.console.store.models import Gateway
from pcg.console.views import GatewayView, MachineView
from pcg.model.configuration import CloudKind
from pcg.model.records import ConditionReport, GatewayStatus, StepReport
from pcg.model.states import (
    REGISTRATION_OVERDUE_SECONDS,
    ConditionName,
    GatewayState,
    MachineRole,
    StepName,
    StepState,
)
from pcg.sealing.keys import fingerprint

RUN = "run"
IDLE = "idle"
DELETE = "delete"


@dataclass(frozen=True)
class Newer:
    """What a gateway has that this console does not know of."""

    incarnation: int
    generation: int


def ahead(row: Gateway, status: GatewayStatus | None) -> Newer | None:
    """Whether the gateway answers a newer desired state than this console ever gave it: then the store is an older one
    than it once was. Compared with what the backup knew, as long as the gateway has told nothing since the restore:
    what was changed here meanwhile was never sent.
    """
    if status is None or row.registered_at is None:
        return None
    known = (row.incarnation, row.generation)
    if row.restored_at is not None and row.restored_incarnation is not None and row.restored_generation is not None:
        known = (row.restored_incarnation, row.restored_generation)
    # A gateway that lost its memory still finds machines that were made for a newer one.
    incarnation = max([status.incarnation, *(machine.incarnation for machine in status.machines)])
    told = (incarnation, status.generation)
    return Newer(*told) if told > known else None


def agreed_unsaved(row: Gateway) -> bool:
    """A person agreed to a restored console, and nothing was changed since."""
    return row.agreed_generation is not None and row.agreed_generation == row.generation


def withheld(row: Gateway) -> bool:
    """What this console wants is not sent: it may be older than what the gateway has."""
    return row.restored_at is not None or agreed_unsaved(row)


def forget_restore(row: Gateway) -> None:
    row.restored_at = row.restored_generation = row.restored_incarnation = None


def status_of(row: Gateway) -> GatewayStatus | None:
    return None if row.status is None else GatewayStatus.model_validate(row.status)


def state_of(row: Gateway, status: GatewayStatus | None) -> GatewayState:
    if row.mode == DELETE:
        return GatewayState.DELETING
    if row.registered_at is None:
        return GatewayState.AWAITING_REGISTRATION
    if row.mode == IDLE:
        return GatewayState.PENDING
    if status is None or (status.generation, status.incarnation) != (row.generation, row.incarnation):
        return GatewayState.PROVISIONING
    done = {step.name for step in status.steps if step.state is StepState.DONE}
    return GatewayState.RUNNING if done == set(StepName) else GatewayState.PROVISIONING


def steps_of(row: Gateway, status: GatewayStatus | None) -> list[StepReport]:
    """All ten, in order. What an earlier incarnation reported is history: its steps begin anew."""
    told = {}
    if status is not None and status.incarnation == row.incarnation and row.mode != IDLE:
        told = {step.name: step for step in status.steps}
    return [told.get(name, StepReport(name=name)) for name in StepName]


def machines_of(status: GatewayStatus | None) -> list[MachineView]:
    return [MachineView.model_validate(machine) for machine in status.machines] if status else []


def conditions_of(
    row: Gateway, status: GatewayStatus | None, presence: Presence, code_made_at: datetime | None, now: datetime
) -> list[ConditionReport]:
    """Those that the gateway told, and those that only the console can know; each name once."""
    found = {}
    if status is not None:
        found = {condition.name: condition for condition in status.conditions}
        if status.incarnation != row.incarnation:
            # Told about an incarnation that is gone: only what is true of every incarnation still counts.
            found.pop(ConditionName.STALLED, None)
            found.pop(ConditionName.CLUSTER_LOST, None)
    for condition in _known_here(row, status, presence, code_made_at, now):
        found.setdefault(condition.name, condition)
    return sorted(found.values(), key=lambda condition: (condition.since, condition.name))


def view_of(row: Gateway, presence: Presence, code_made_at: datetime | None, now: datetime) -> GatewayView:
    status = status_of(row)
    conditions = conditions_of(row, status, presence, code_made_at, now)
    keys = (row.signing_key, row.sealing_key)
    return GatewayView(
        id=row.id,
        name=row.name,
        cloud=CloudKind(row.cloud),
        state=state_of(row, status),
        conditions=conditions,
        address=_address(row, status),
        connected=presence.connected(row.id),
        last_seen=presence.last_seen(row.id) or row.last_seen,
        fingerprint=fingerprint(keys[0], keys[1]) if keys[0] and keys[1] else None,
        sealing_key=row.sealing_key,
        generation=row.generation,
        incarnation=row.incarnation,
        configured=row.configuration is not None,
        created_at=row.created_at,
        registered_at=row.registered_at,
        registered_by=row.registered_by,
        agreed_unsaved=agreed_unsaved(row),
        registration_overdue=any(item.name is ConditionName.REGISTRATION_OVERDUE for item in conditions),
    )


def is_clean(row: Gateway, status: GatewayStatus | None) -> bool:
    """The gateway has said, of the present generation and incarnation, that nothing older is left."""
    return status is not None and status.clean and status.incarnation == row.incarnation


def _known_here(
    row: Gateway, status: GatewayStatus | None, presence: Presence, code_made_at: datetime | None, now: datetime
) -> list[ConditionReport]:
    found = []
    if row.registered_at is None:
        if code_made_at and now - code_made_at >= timedelta(seconds=REGISTRATION_OVERDUE_SECONDS):
            found.append(
                ConditionReport(
                    name=ConditionName.REGISTRATION_OVERDUE,
                    reason="no-registration",
                    message="No installer has registered within ten minutes after the pairing code was made.",
                    since=code_made_at + timedelta(seconds=REGISTRATION_OVERDUE_SECONDS),
                )
            )
        return found
    newer = ahead(row, status)
    if newer is not None:
        found.append(
            ConditionReport(
                name=ConditionName.CONSOLE_RESTORED,
                reason="newer-desired-state",
                message=_newer_told(row, newer),
                since=row.restored_at or row.changed_at or row.registered_at,
            )
        )
    if not presence.connected(row.id):
        since = presence.left_at(row.id) or presence.last_seen(row.id) or row.last_seen or row.registered_at
        found.append(
            ConditionReport(
                name=ConditionName.DISCONNECTED,
                reason="no-session",
                message="The gateway has no session with the console; what is shown is what it told last.",
                since=since,
            )
        )
    if row.mode == RUN and row.credentials_ciphertext is None:
        found.append(
            ConditionReport(
                name=ConditionName.CREDENTIALS_NEEDED,
                reason="credentials-missing",
                message="Enter the cloud's password: none is sealed to the gateway's present key.",
                since=row.changed_at or row.registered_at,
            )
        )
    if newer is None and row.incarnation > 1 and row.mode != DELETE and not is_clean(row, status):
        found.append(
            ConditionReport(
                name=ConditionName.CLEANING_UP,
                reason="reset",
                message="Machines of the earlier incarnation are being removed.",
                since=row.reset_at or row.registered_at,
            )
        )
    return found


def _newer_told(row: Gateway, newer: Newer) -> str:
    console = "this restored console" if row.restored_at is not None else "this console"
    has, knows = f"generation {newer.generation}", f"{row.generation}"
    if newer.incarnation > row.incarnation:
        has, knows = f"{has} of incarnation {newer.incarnation}", f"{knows} of {row.incarnation}"
    return (
        f"This gateway has a newer desired state ({has}) than {console} knows ({knows}). "
        "Nothing is changed there until a person agrees."
    )


def _address(row: Gateway, status: GatewayStatus | None) -> str | None:
    if status is None or not status.machines or status.incarnation != row.incarnation:
        return None
    shared = ((row.configuration or {}).get("network") or {}).get("controlPlaneAddress")
    if shared:
        return str(shared)
    return next(
        (item.address for item in status.machines if item.role is MachineRole.CONTROL_PLANE and item.address), None
    )
