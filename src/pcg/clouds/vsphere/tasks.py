"""vCenter's tasks in the contract's words, and unfinished ones of ours found again by a gateway that forgot them.

Used by `cloud.py`. A running clone names only its source; which machine it makes stands in the first event of the
task's chain: VmBeingClonedEvent, or VmBeingDeployedEvent where vCenter takes a clone of a template for a deployment.
All functions block and run in the session's threads.
"""

from __future__ import annotations

import re
from typing import Any

from pcg.clouds.base import CloudTask, TaskState
from pcg.clouds.vsphere.inventory import Properties, moid, plain_name, read, read_one, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import PcgError, TryAgain

_KINDS = {
    "VirtualMachine.clone": "create",
    "VirtualMachine.powerOn": "start",
    "Datacenter.ExecuteVmPowerOnLRO": "start",
    "VirtualMachine.powerOff": "power-off",
    "VirtualMachine.reconfigure": "reconfigure",
    "VirtualMachine.destroy": "delete",
}
"""by TaskInfo.descriptionId"""
_BEGINNINGS = ("VmBeingClonedEvent", "VmBeingDeployedEvent")
"""the events with which vCenter may begin a clone of a template"""
_STATES = {
    "queued": TaskState.RUNNING,
    "running": TaskState.RUNNING,
    "success": TaskState.DONE,
    "error": TaskState.FAILED,
}

INFO_PATHS = [
    "info.key",
    "info.state",
    "info.descriptionId",
    "info.entityName",
    "info.eventChainId",
    "info.progress",
    "info.error",
]
"""Not the whole info: of somebody else's task it may hold an entity of a type that pyVmomi does not accept there."""


class Tasks:
    """Looks at tasks; remembers of those that this connection started what they are for."""

    def __init__(self, session: VsphereSession) -> None:
        self._session = session
        self._known: dict[str, tuple[str, str]] = {}
        """kind and machine's name by task id"""
        self._started: set[str] = set()

    def is_own(self, task_id: str) -> bool:
        """Whether this connection started it; a gateway that was killed meanwhile did not."""
        return task_id in self._started

    def started(self, task: Any, kind: str, machine_name: str) -> CloudTask:
        self._started.add(moid(task))
        self._known[moid(task)] = (kind, machine_name)
        return CloudTask(id=moid(task), state=TaskState.RUNNING, kind=kind, machine_name=machine_name, progress=0)

    def look(self, task_id: str) -> CloudTask | None:
        """The task now; None when vCenter has forgotten it."""
        try:
            info = read_one(self._session, vim.Task(task_id, self._session.stub), INFO_PATHS)
        except vmodl.fault.ManagedObjectNotFound:
            return None
        return self._of(info)

    def unfinished(self, gateway_id: str) -> list[CloudTask]:
        """One call, and one more for each running clone that this connection did not start."""
        manager = self._session.content.taskManager
        step = traversal("recent", vim.TaskManager, "recentTask")
        found = read(self._session, [(manager, [step], True)], [(vim.Task, INFO_PATHS)])
        ours = _names_of(gateway_id)
        result = []
        for item in found:
            if _STATES.get(str(item.get("info.state"))) is not TaskState.RUNNING:
                continue
            task = self._of(item)
            if ours.fullmatch(task.machine_name):
                result.append(task)
        return result

    def _of(self, info: Properties) -> CloudTask:
        key = str(info["info.key"])
        kind, name = self._known.get(key, ("", ""))
        description = str(info.get("info.descriptionId"))
        kind = kind or _KINDS.get(description, description)
        if not name:
            name = self._clone_target(info) if kind == "create" else plain_name(info.get("info.entityName") or "")
            self._known[key] = (kind, name)
        state = _STATES[str(info["info.state"])]
        return CloudTask(
            id=key,
            state=state,
            kind=kind,
            machine_name=name,
            progress=100 if state is TaskState.DONE else info.get("info.progress"),
            error=self._error(info) if state is TaskState.FAILED else None,
        )

    def _clone_target(self, info: Properties) -> str:
        if not info.get("info.eventChainId"):
            return ""
        chain = vim.event.EventFilterSpec(eventChainId=info["info.eventChainId"], eventTypeId=list(_BEGINNINGS))
        events = self._session.content.eventManager.QueryEvents(chain)
        return next((name for event in events if (name := machine_made_by(event))), "")

    def _error(self, info: Properties) -> PcgError:
        fault = info.get("info.error") or vmodl.fault.SystemError(reason="the task failed")
        # Of a call the same fault would mean that we ended our own wait.
        error = _cancelled(info) if isinstance(fault, vmodl.fault.RequestCanceled) else self._session.translate(fault)
        error.__cause__ = fault
        return error


def machine_made_by(event: Any) -> str:
    """The new machine's name. An event of a deployment is one of the new machine itself; the source is another field:
    https://developer.broadcom.com/xapis/virtual-infrastructure-json-api/latest/data-structures/VmBeingDeployedEvent
    """
    if isinstance(event, vim.event.VmBeingDeployedEvent):
        return plain_name(event.vm.name) if event.vm is not None else ""
    return plain_name(getattr(event, "destName", ""))


def _cancelled(info: Properties) -> PcgError:
    name = plain_name(info.get("info.entityName") or "")
    return TryAgain(
        "Somebody cancelled a task of this gateway in vCenter.",
        reason="task-cancelled",
        evidence=[f"vCenter's task {info['info.key']} ({info.get('info.descriptionId')} of {name}) was cancelled"],
        remedy=["Nothing: it is begun anew. Ask that the gateway's tasks be left alone."],
    )


def _names_of(gateway_id: str) -> re.Pattern[str]:
    """Names that `model.naming.machine_name` gives to machines of this gateway."""
    short = re.sub(r"[^a-z0-9]", "", gateway_id.lower())[:6]
    return re.compile(rf"pcg-.+-{re.escape(short)}-\d+-\d+")
