"""The simulated data center as a cloud: the contract of `pcg.clouds.base`, call by call, over its API.

Made by `pcg.clouds.table`. Runs in the gateway, so it imports nothing of the data center's own side but the words of
its refusals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pcg.clouds.base import (
    ChangeKind,
    Check,
    CloudTask,
    Connection,
    Inventory,
    Login,
    MachineChange,
    MachineSpec,
    ObservedMachine,
    PowerState,
    Remembered,
    TaskState,
    TemplateProgress,
)
from pcg.clouds.server_trust import server_context
from pcg.clouds.simulated import preflight
from pcg.clouds.simulated.client import ApiClient, unreachable
from pcg.clouds.simulated.errors import template_missing, translate
from pcg.clouds.simulated.offered import offered
from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import GiveUp, NotFound, Unreachable
from pcg.model.configuration import Configuration, split_host_port, strip_scheme
from pcg.model.naming import MARK_INSTANCE
from pcg.network.plain_httpx import httpx

_DONE = "none"


class SimulatedCloud:
    """`transport` reaches a data center in this very process (simulated time); then there is no TLS."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.transport = transport

    def connect(self, login: Login) -> AbstractAsyncContextManager[Connection]:
        return _connect(login, self.transport)


@asynccontextmanager
async def _connect(login: Login, transport: httpx.AsyncBaseTransport | None) -> AsyncIterator[Connection]:
    address, _ = strip_scheme(login.address)
    host, port = split_host_port(address, 443)

    def failed(hop: str, error: Exception, *, reason: str = "") -> Unreachable:
        return unreachable(address, hop, error, reason=reason)

    verify: Any = True
    if transport is None:
        verify = await asyncio.to_thread(server_context, host, port, login, failed)
    shown = f"[{host}]" if ":" in host else host
    async with httpx.AsyncClient(
        base_url=f"https://{shown}:{port}", verify=verify, transport=transport, trust_env=False
    ) as http:
        api = ApiClient(http, address, login)
        await api.log_in()
        try:
            yield SimulatedConnection(api)
        finally:
            await api.log_out()


class SimulatedConnection:
    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._revisions: dict[str, int] = {}
        """by gateway, as of the last bulk read"""
        self._own = ""
        """the gateway whose machines were read last"""
        self._import = ""
        """the task that was begun last to fetch an image, until it has been seen failed"""

    async def check(self, configuration: Configuration, spares: Collection[int] = ()) -> list[Check]:
        return await preflight.check(self._api, configuration, self._own, spares)

    async def inventory(self, template_folder: str) -> Inventory:
        return offered(await self._api.get("/api/inventory"), template_folder)

    async def ensure_template(self, configuration: Configuration) -> TemplateProgress:
        wanted = configuration.template
        found = await self._api.get("/api/templates", folder=wanted.folder, name=wanted.name)
        if found["template"] is not None:
            return TemplateProgress(found["template"])
        if "://" not in wanted.image:
            raise template_missing(wanted.folder, wanted.name)
        if found["task"] is not None:
            return TemplateProgress(None, self._task(found["task"]), fetched=True)
        begun, self._import = await self.task(self._import) if self._import else None, ""
        if begun is not None and begun.state is TaskState.FAILED:
            return TemplateProgress(None, begun, fetched=True)
        request = {"folder": wanted.folder, "name": wanted.name, "url": wanted.image, "sha256": wanted.sha256}
        begun = self._task(await self._api.post("/api/templates", request))
        self._import = begun.id
        return TemplateProgress(None, begun, fetched=True)

    async def list_machines(self, gateway_id: str, remembered: Remembered | None = None) -> list[ObservedMachine]:
        answer = await self._api.get("/api/machines", gateway=gateway_id)
        self._revisions[gateway_id] = answer["revision"]
        self._own = gateway_id
        return [observed(machine) for machine in answer["machines"]]

    async def unfinished(self, gateway_id: str) -> list[CloudTask]:
        answer = await self._api.get("/api/tasks", gateway=gateway_id)
        return [self._task(task) for task in answer["tasks"]]

    async def create_machine(self, gateway_id: str, spec: MachineSpec) -> CloudTask:
        request = {
            "name": spec.name,
            "marks": spec.marks,
            "placement": spec.placement.model_dump(by_alias=True),
            "template": spec.template,
            "cpus": spec.hardware.cpus,
            "memory": spec.hardware.memory_gi_b,
            "disk": spec.hardware.disk_gi_b,
            "user_data": spec.user_data,
            "meta_data": spec.meta_data,
        }
        return self._task(await self._api.post("/api/machines", request))

    async def start_machine(self, machine: ObservedMachine) -> CloudTask:
        wanted = machine.made_from
        size = {"cpus": wanted.cpus, "memory": wanted.memory} if wanted else {}
        task = await self._api.post(f"/api/machines/{machine.id}/start", size)
        return self._task(task) if task else CloudTask(_DONE, TaskState.DONE, "start", machine.name)

    async def clear_user_data(self, machine: ObservedMachine) -> CloudTask:
        done = CloudTask(_DONE, TaskState.DONE, "reconfigure", machine.name)
        _demand_genuine(machine)
        try:
            path = f"/api/machines/{machine.id}/user-data"
            task = await self._api.delete(path, instance=machine.marks[MARK_INSTANCE])
        except NotFound:
            return done
        return self._task(task) if task else done

    async def delete_machine(self, machine: ObservedMachine) -> CloudTask:
        _demand_genuine(machine)
        try:
            path = f"/api/machines/{machine.id}"
            return self._task(await self._api.delete(path, instance=machine.marks[MARK_INSTANCE]))
        except NotFound:
            return CloudTask(_DONE, TaskState.DONE, "delete", machine.name)

    async def task(self, task_id: str) -> CloudTask | None:
        try:
            return self._task(await self._api.get(f"/api/tasks/{task_id}"))
        except NotFound:
            return None

    async def wait_for_change(self, gateway_id: str, timeout: float) -> bool:
        after = self._revisions.get(gateway_id, -1)
        answer = await self._api.get(
            "/api/changes", patience=timeout, gateway=gateway_id, after=str(after), timeout=str(timeout)
        )
        return bool(answer["revision"] != after)

    async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
        answer = await self._api.get("/api/events", kind=str(kind), machine=machine_id, name=name)
        if not answer["events"]:
            return None
        event = answer["events"][-1]
        return MachineChange(
            event=f"machine-{event['kind']}",
            at=datetime.fromtimestamp(event["at"], UTC),
            user=event["user"],
            by_own_account=event["user"] == self._api.account,
        )

    def _task(self, told: dict[str, Any]) -> CloudTask:
        error = translate(Refusal.of(told["error"]), self._api.address, self._api.account) if told["error"] else None
        return CloudTask(
            id=told["id"],
            state=TaskState(told["state"]),
            kind=told["kind"],
            machine_name=told["object"] if told["kind"] != "import" else "",
            progress=told["progress"],
            error=error,
        )


def _demand_genuine(machine: ObservedMachine) -> None:
    if not machine.genuine:
        raise GiveUp(
            f"{machine.name} is somebody's copy: it is left alone.",
            reason="not-ours",
            fields={"object": machine.id, "instance": machine.instance},
        )


def observed(told: dict[str, Any]) -> ObservedMachine:
    return ObservedMachine(
        id=told["id"],
        name=told["name"],
        instance=told["instance"],
        marks=told["marks"],
        power=PowerState(told["power"]),
        address=told["address"],
        hardware=(told["cpus"], told["memory"]),
        created=told["created"],
        cluster_tools=told["tools"],
        host_name=told["hostName"],
        dhcp=told["dhcp"],
        connected=told["connected"],
        foreign_disks=told["foreignDisks"],
        holds_user_data=told["userData"],
    )
