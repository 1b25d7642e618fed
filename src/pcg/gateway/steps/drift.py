"""Machines that somebody else changed: told, with who did it, before anything is mended.

Called by the step `machines` and, for copies, by the reconciler. What is open is kept in the cluster's memory, so that
diagnosis shows it until the machine is as it was made again. Who did it stands in the cloud's own event log; where that
cannot be asked, it is said so, and mending goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from pcg.clouds.base import ChangeKind, MachineChange, ObservedMachine, PowerState, TellsWhoChanged
from pcg.errors import PcgError
from pcg.gateway.memory import Slot
from pcg.gateway.steps.outcome import Situation
from pcg.model.drift import Drift, DriftCause
from pcg.model.states import Severity

ASKING_SECONDS = 20.0
"""for who did it: mending never waits longer for that"""

MOST_COPIES = 8
"""that are told and asked about: a folder full of them must not hold the gateway up"""

_log = logging.getLogger(__name__)

_KINDS = {
    DriftCause.DELETED: ChangeKind.REMOVED,
    DriftCause.POWERED_OFF: ChangeKind.POWERED_OFF,
    DriftCause.RECONFIGURED: ChangeKind.RECONFIGURED,
    DriftCause.COPIED: ChangeKind.COPIED,
}
_REASONS = {
    DriftCause.DELETED: "MachineDeletedOutside",
    DriftCause.POWERED_OFF: "MachinePoweredOffOutside",
    DriftCause.RECONFIGURED: "MachineReconfiguredOutside",
    DriftCause.COPIED: "MachineCopied",
}


async def notice_deleted(situation: Situation, slot: Slot, name: str) -> None:
    seen = "The machine is gone; someone else removed it."
    await _notice(situation, DriftCause.DELETED, name, slot.machine, seen, slot.ordinal)


async def notice_powered_off(situation: Situation, slot: Slot, machine: ObservedMachine) -> None:
    seen = "The machine was switched off by someone else; it is switched on again."
    await _notice(situation, DriftCause.POWERED_OFF, machine.name, machine.id, seen, slot.ordinal)


async def notice_reconfigured(situation: Situation, slot: Slot, machine: ObservedMachine) -> None:
    """Only a machine that has run as it was made, and of which it is known what it was made from."""
    made = machine.made_from
    has_run = slot.phase == "up" or machine.power is PowerState.ON
    if made is None or machine.hardware is None or machine.hardware == made.hardware or not has_run:
        return
    if any(drift.cause is DriftCause.RECONFIGURED and drift.id == machine.id for drift in situation.cluster.drifts):
        return
    seen = f"It has {_size(machine.hardware)}; it was made with {_size(made.hardware)}."
    await _notice(situation, DriftCause.RECONFIGURED, machine.name, machine.id, seen, slot.ordinal)


async def notice_copies(situation: Situation, copies: Sequence[ObservedMachine]) -> None:
    """Told once an incarnation each; shown as long as they are there. Of very many, the oldest stand for all."""
    copies = copies[:MOST_COPIES]
    drifts = situation.cluster.drifts
    there = {copy.id for copy in copies}
    _keep(situation, [drift for drift in drifts if drift.cause is not DriftCause.COPIED or drift.id in there])
    known = {drift.id for drift in situation.cluster.drifts if drift.cause is DriftCause.COPIED}
    for copy in copies:
        if copy.id not in known:
            seen = "Someone else's copy of a machine of ours: it is left alone."
            await _notice(situation, DriftCause.COPIED, copy.name, copy.id, seen)


def hand_over(situation: Situation, lost: Slot, successor: Slot) -> None:
    """What was done to a lost machine is mended when its successor is up."""
    moved = {"ordinal": successor.ordinal}
    _keep(
        situation,
        [
            drift.model_copy(update=moved) if drift.ordinal == lost.ordinal else drift
            for drift in situation.cluster.drifts
        ],
    )


def close_mended(situation: Situation) -> None:
    """Forget what is as it was made again."""
    _keep(situation, [drift for drift in situation.cluster.drifts if not _is_mended(situation, drift)])


def _is_mended(situation: Situation, drift: Drift) -> bool:
    if drift.cause is DriftCause.COPIED:
        return False  # `notice_copies` sees them
    slot, machine = situation.cluster.slot(drift.ordinal), situation.by_ordinal.get(drift.ordinal)
    if slot is None:
        return True
    if drift.cause is DriftCause.RECONFIGURED and machine is not None and machine.id == drift.id:
        return machine.made_from is None or machine.hardware == machine.made_from.hardware
    return slot.phase == "up" and machine is not None


async def _notice(
    situation: Situation, cause: DriftCause, name: str, machine_id: str, seen: str, ordinal: int = 0
) -> None:
    """Tell it and show it; who did it is asked first, so that both name the account."""
    now = situation.clock.now()
    drift = Drift(cause=cause, machine=name, id=machine_id, ordinal=ordinal, since=now, seen=seen)
    drift = drift.model_copy(update=await _who(situation, drift))
    situation.cluster.drifts.append(drift)
    fields = {"account": drift.user, "event": drift.event, "at": drift.at.isoformat() if drift.at else ""}
    key = f"copy {drift.id}"
    if cause is not DriftCause.COPIED or key not in situation.cluster.told:
        situation.cluster.told += [key] if cause is DriftCause.COPIED else []
        told = {field: value for field, value in fields.items() if value}
        situation.tell(_REASONS[cause], f"{seen} {drift.who}", Severity.WARNING, machine=name, fields=told)
    await situation.show()


async def _who(situation: Situation, drift: Drift) -> dict[str, Any]:
    """The fields of the drift that say who did it, or why that cannot be told."""
    cloud = situation.cloud
    if not isinstance(cloud, TellsWhoChanged):
        return {"who": "This kind of cloud does not tell who did it."}
    try:
        async with asyncio.timeout(ASKING_SECONDS):
            change = await cloud.who_changed(_KINDS[drift.cause], drift.id, drift.machine)
    except PcgError as error:
        return {"who": f"Who did it cannot be told: {error.what}"[:1000]}
    except TimeoutError:
        return {"who": "Who did it cannot be told: the cloud's event log did not answer."}
    except Exception:  # noqa: BLE001 - whatever a log of others holds, mending goes on
        _log.exception("the cloud's event log")
        return {"who": "Who did it cannot be told: the cloud's event log was not understood."}
    if change is None:
        return {"who": "Who did it cannot be told: the cloud's event log says nothing of it."}
    return {"who": _told(change), "event": change.event, "user": change.user, "at": change.at}


def _told(change: MachineChange) -> str:
    when = f"{change.at:%Y-%m-%d %H:%M:%S} UTC"
    if not change.user:
        return f"{change.event} at {when} names no account: it came from within the machine or from the cloud itself."
    own = ", the account of this gateway, which somebody else uses too" if change.by_own_account else ""
    return f"Done by {change.user}{own} at {when} ({change.event})."


def _keep(situation: Situation, drifts: list[Drift]) -> None:
    situation.cluster.drifts[:] = drifts


def _size(hardware: tuple[int, int]) -> str:
    return f"{hardware[0]} CPUs and {hardware[1]} GiB of memory"
