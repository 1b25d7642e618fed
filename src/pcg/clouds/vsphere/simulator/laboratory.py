"""What a lab may do to the simulated vCenter: `pcg.clouds.lab.control.Laboratory`, over its control API and, for what a
person would do in vSphere's own client, over the vSphere API as an administrator.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from datetime import datetime
from typing import Any

import httpx

from pcg.clouds.vsphere.simulator.launcher import Account, RunningVcenter
from pcg.clouds.vsphere.vmomi import SoapStubAdapter, vim, wait_for_task
from pcg.errors import NotFound, TryAgain

_KINDS = {
    "CloneVM_Task": "create",
    "PowerOnVM_Task": "start",
    "PowerOffVM_Task": "power-off",
    "ReconfigVM_Task": "reconfigure",
    "Destroy_Task": "delete",
}
_MARKS = ("pcg.gateway", "pcg.machine", "pcg.instance", "pcg.address", "pcg.made-from")
_TRIES = 50
_GLANCE = 0.01
_PAUSE = 0.05
"""seconds"""
API_VERSION = "vim.version.version12"


class VsphereLaboratory:
    """Opens its administrator's session when first needed."""

    def __init__(self, vcenter: RunningVcenter, administrator: Account) -> None:
        self._vcenter = vcenter
        self._administrator = administrator
        self._service: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def faults(self) -> dict[str, dict[str, Any]]:
        return {}

    async def switch(self, fault: str, *, on: bool) -> None:
        raise NotFound(f"The vendor's simulator has no fault {fault!r}.", reason="fault-unknown")

    async def task_log(self) -> list[dict[str, Any]]:
        told = await self._control("GET", "/tasks")
        # Tasks bear wall time, guests' stages the monotonic time of this machine: the log has one clock.
        offset = time.time() - time.monotonic()
        tasks = [
            {
                "kind": _KINDS.get(task["method"], task["method"]),
                "object": task["target"] or task["entity"],
                "started": _seconds(task["startTime"] or task["queueTime"]) - offset,
                "finished": _seconds(task["completeTime"]) - offset if task["completeTime"] else None,
            }
            for task in told["tasks"]
        ]
        stages = [
            {
                "kind": f"guest: {stage['stage']}",
                "object": stage["machine"],
                "started": stage["started"],
                "finished": stage["finished"],
            }
            for stage in told["stages"]
        ]
        return [*tasks, *stages]

    async def counters(self) -> dict[str, int]:
        counters: dict[str, int] = await self._control("GET", "/counters")
        return counters

    async def reset_counters(self) -> None:
        await self._control("POST", "/counters/reset")

    async def machines(self) -> list[dict[str, Any]]:
        told = await self._control("GET", "/machines")
        return [
            {
                "id": machine["moid"],
                "name": machine["name"],
                "instance": machine["instanceUuid"],
                "marks": {mark: machine["extraConfig"][mark] for mark in _MARKS if mark in machine["extraConfig"]},
                "power": "on" if machine["powerState"] == "poweredOn" else "off",
                "address": machine.get("address") or None,
            }
            for machine in told["machines"]
        ]

    async def add_stranger(self, name: str) -> str:
        """A clone of the template, in the folder that a machine of ours of that name would lie in."""
        return str(await self._as_administrator(self._clone_template, name))

    async def copy(self, machine_id: str) -> str:
        return str(await self._as_administrator(self._clone, machine_id))

    async def power_off(self, machine_id: str) -> None:
        await self._as_administrator(lambda: self._finish(self._machine(machine_id).PowerOffVM_Task()))

    async def reconfigure(self, machine_id: str, cpus: int, memory: int) -> None:
        change = vim.vm.ConfigSpec(numCPUs=cpus, memoryMB=memory * 1024)
        await self._as_administrator(lambda: self._finish(self._machine(machine_id).ReconfigVM_Task(change)))

    async def remove(self, machine_id: str) -> None:
        await self._as_administrator(self._destroy, machine_id)

    async def touch(self) -> None:
        """A new note at each machine of ours."""
        ours = [machine["id"] for machine in await self.machines() if machine["marks"]]
        note = f"looked at by a person: {uuid.uuid4()}"
        for machine_id in ours:
            await self._as_administrator(self._annotate, machine_id, note)

    async def close(self) -> None:
        if self._service is not None:
            await asyncio.to_thread(self._service._stub.DropConnections)

    async def _control(self, method: str, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.request(method, self._vcenter.control + path, json={} if method == "POST" else None)
        answer.raise_for_status()
        return answer.json()

    # As an administrator; all of this blocks, in a thread.

    async def _as_administrator(self, act: Any, *arguments: Any) -> Any:
        async with self._one_at_a_time:
            return await asyncio.to_thread(act, *arguments)

    def _content(self) -> Any:
        if self._service is None:
            host, _, port = self._vcenter.address.rpartition(":")
            trust = ssl.create_default_context(cafile=str(self._vcenter.certificate))
            trust.check_hostname = False  # the certificate itself is the anchor
            stub = SoapStubAdapter(host=host, port=int(port), version=API_VERSION, sslContext=trust)
            self._service = vim.ServiceInstance("ServiceInstance", stub)
            content = self._service.RetrieveContent()
            content.sessionManager.Login(self._administrator.name, self._administrator.password, None)
        return self._service.RetrieveContent()

    def _machine(self, machine_id: str) -> Any:
        self._content()
        return vim.VirtualMachine(machine_id, self._service._stub)

    def _clone(self, machine_id: str) -> str:
        source = self._machine(machine_id)
        settings = [option for option in source.config.extraConfig if option.key in _MARKS]
        return self._made(source, f"copy-of-{source.name}", vim.vm.ConfigSpec(extraConfig=settings))

    def _clone_template(self, name: str) -> str:
        index = self._content().searchIndex
        return self._made(index.FindByInventoryPath("dc-1/vm/spectro-templates/ubuntu-2204-k8s-1.30"), name, None)

    def _made(self, source: Any, name: str, config: Any) -> str:
        content = self._content()
        folder = content.searchIndex.FindByInventoryPath("dc-1/vm/pcg")
        cluster = content.rootFolder.childEntity[0].hostFolder.childEntity[0]
        where = vim.vm.RelocateSpec(pool=cluster.resourcePool, datastore=cluster.datastore[0])
        spec = vim.vm.CloneSpec(location=where, config=config, powerOn=False, template=False)
        return str(self._finish(source.CloneVM_Task(folder=folder, name=name, spec=spec))._moId)

    def _destroy(self, machine_id: str) -> Any:
        """Against a gateway that switches its machine on again as soon as it sees it off: the quicker one wins."""
        machine = self._machine(machine_id)
        for _ in range(_TRIES):
            try:
                if machine.runtime.powerState == "poweredOn":
                    self._switch_off(machine)
                return self._finish(machine.Destroy_Task())
            except (vim.fault.InvalidPowerState, vim.fault.TaskInProgress):
                time.sleep(_PAUSE)  # in a thread of our own; a task of the other side is under way
        raise TryAgain(f"The machine {machine_id} is switched on again and again.", reason="machine-busy")

    def _switch_off(self, machine: Any) -> None:
        """Looked at again and again: the news of it would come when the gateway has them too."""
        task = machine.PowerOffVM_Task()
        while task.info.state in ("queued", "running"):
            time.sleep(_GLANCE)
        self._finish(task)

    def _annotate(self, machine_id: str, note: str) -> None:
        self._finish(self._machine(machine_id).ReconfigVM_Task(vim.vm.ConfigSpec(annotation=note)))

    def _finish(self, task: Any) -> Any:
        wait_for_task(task, si=self._service)
        return task.info.result


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
