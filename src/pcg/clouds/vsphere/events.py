"""Who changed a machine, out of vCenter's own event log: the capability `clouds.base.TellsWhoChanged`.

Used by `cloud.py`. An event log is long, so each question is bounded in time, number and kind of events. It blocks, and
runs in the session's threads.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from pcg.clouds.base import ChangeKind, MachineChange
from pcg.clouds.vsphere.inventory import moid, plain_name, read_one
from pcg.clouds.vsphere.machines import wanted_hardware
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl

LOOK_BACK = timedelta(days=3)
SAME_ACT = timedelta(minutes=5)
"""a shutdown is told in two events, of which only one may name the account"""
MOST_EVENTS = 500
"""vCenter answers the newest; it accepts 1,000 at most"""
LONGEST_NAME, LONGEST_TEXT = 256, 300

_EVENTS = {
    ChangeKind.REMOVED: ["VmRemovedEvent"],
    ChangeKind.POWERED_OFF: ["VmPoweredOffEvent", "VmGuestShutdownEvent", "VmSuspendedEvent"],
    ChangeKind.RECONFIGURED: ["VmReconfiguredEvent"],
    ChangeKind.COPIED: ["VmClonedEvent", "VmDeployedEvent", "VmRegisteredEvent", "VmCreatedEvent"],
}
"""types of vSphere's API reference ("VmEvent"); a restored backup is registered or created"""


def who_changed(session: VsphereSession, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
    """Two calls, and a third for a machine that was reconfigured or, when it was asked about, is gone."""
    now = vim.ServiceInstance("ServiceInstance", session.stub).CurrentTime()  # vCenter's clock, not ours
    spec = vim.event.EventFilterSpec(
        eventTypeId=_EVENTS[kind],
        time=vim.event.EventFilterSpec.ByTime(beginTime=now - LOOK_BACK),
        maxCount=MOST_EVENTS,
    )
    machine = vim.VirtualMachine(machine_id, session.stub)
    found = None if kind is ChangeKind.REMOVED else _of_present(session, spec, machine)
    gone = found is None
    if found is None:
        events = session.content.eventManager.QueryEvents(spec) or []
        found = [event for event in events if _is_about(event, machine_id, name)]
    if kind is ChangeKind.RECONFIGURED and found:
        wanted = None if gone else wanted_hardware(read_one(session, machine, ["config.extraConfig"]))
        found = [event for event in found if _changes_size(event.configSpec, wanted)]
    if not found:
        return None
    newest = max(event.createdTime for event in found)
    recent = [event for event in found if newest - event.createdTime <= SAME_ACT]
    return _change(session, max(recent, key=lambda event: (bool(event.userName), event.createdTime, event.key)))


def _of_present(session: VsphereSession, spec: Any, machine: Any) -> list[Any] | None:
    """None of one that is gone: then vCenter answers only who asks about all."""
    option = vim.event.EventFilterSpec.RecursionOption("self")
    spec.entity = vim.event.EventFilterSpec.ByEntity(entity=machine, recursion=option)
    try:
        return session.content.eventManager.QueryEvents(spec) or []
    except vmodl.fault.ManagedObjectNotFound:
        spec.entity = None
        return None


def _is_about(event: Any, machine_id: str, name: str) -> bool:
    if event.vm is None:
        return False
    return moid(event.vm.vm) == machine_id if machine_id else plain_name(event.vm.name) == name


def _changes_size(change: Any, wanted: tuple[int, int] | None) -> bool:
    """CPUs or memory, and not back to what is wanted, as the gateway itself does."""
    new = change.numCPUs, change.memoryMB
    return any(new) and new != wanted


def _change(session: VsphereSession, event: Any) -> MachineChange:
    user = (event.userName or "")[:LONGEST_NAME]
    return MachineChange(
        event=type(event).__name__.rsplit(".", 1)[-1],
        at=event.createdTime.astimezone(UTC),
        user=user,
        text=(event.fullFormattedMessage or "")[:LONGEST_TEXT],
        by_own_account=user.lower() == session.user_name.lower(),
    )
