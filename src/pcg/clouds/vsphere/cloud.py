"""VMware vCenter as a cloud. Start reading here: it is the contract of `pcg.clouds.base`, call by call.

Made by `pcg.clouds.table`. Each method hands a blocking function of the files beside this one to the session, which
runs it in a thread and turns vSphere's faults into the contract's errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
    Remembered,
    TaskState,
    TemplateProgress,
    nodes_in,
)
from pcg.clouds.vsphere import capacity, events, inventory, machines, offered, privileges, templates
from pcg.clouds.vsphere.changes import Changes
from pcg.clouds.vsphere.images import Imports
from pcg.clouds.vsphere.own_folders import OwnFolders
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place, Survey
from pcg.clouds.vsphere.tasks import Tasks
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import NotFound, PcgError
from pcg.model.configuration import Configuration, Placement
from pcg.network.proxies import NO_PROXIES, Proxies


class VsphereCloud:
    """`proxies` are the way to the node image's source; the vCenter itself is reached directly."""

    def __init__(self, proxies: Proxies = NO_PROXIES) -> None:
        self._proxies = proxies

    def connect(self, login: Login) -> AbstractAsyncContextManager[Connection]:
        return _connect(login, self._proxies)


@asynccontextmanager
async def _connect(login: Login, proxies: Proxies) -> AsyncIterator[Connection]:
    session = VsphereSession(login)
    session.path_of = lambda managed_object: inventory.path_of(session, managed_object)
    await session.open()
    connection = VsphereConnection(session, proxies)
    try:
        yield connection
    finally:
        await connection.end_waits()
        await connection.end_import()
        await session.close()


class VsphereConnection:
    def __init__(self, session: VsphereSession, proxies: Proxies = NO_PROXIES) -> None:
        self._session = session
        self._imports = Imports(session, proxies)
        self._tasks = Tasks(session)
        self._changes = Changes(session)
        self._places: dict[Placement, Place] = {}
        self._folders = OwnFolders(session, self._changes)
        self._inherited = False
        """whether a machine was being made, at the last look, that this connection did not begin"""
        self._mended: set[str] = set()
        self._own: list[ObservedMachine] = []
        """as of the last `list_machines`"""

    async def check(self, configuration: Configuration, spares: Collection[int] = ()) -> list[Check]:
        checks: list[Check] = []
        template: Any = None
        survey = Survey(self._session)
        try:
            template_id = await self._session.run(templates.find_template, self._session, survey, configuration)
            template = vim.VirtualMachine(template_id, self._session.stub)
            checks.append(Check("template", True, f"{configuration.template.folder}/{configuration.template.name}"))
        except PcgError as problem:
            checks.append(await self._imports.check(configuration, problem))
        places: list[Place] = []
        domains: list[capacity.Domain] = []
        for number, placement in enumerate(configuration.placement, 1):
            suffix = f" {number}" if len(configuration.placement) > 1 else ""
            try:
                place = await self._session.run(survey.place, placement)
            except PcgError as problem:
                self._places.pop(placement, None)
                checks.append(Check(f"placement{suffix}", False, problem.what, problem))
                continue
            checks.append(Check(f"placement{suffix}", True, f"{placement.datacenter}, {placement.cluster}"))
            self._places[placement] = place
            places.append(place)
            domains.append(capacity.Domain(suffix, place, nodes_in(configuration, number - 1), number - 1 in spares))
        if places:
            checks.append(
                await self._session.run(privileges.check, self._session, survey, configuration, template, places)
            )
        importing = template is None and "://" in configuration.template.image
        own = [machine for machine in self._own if machine.genuine]
        return checks + await capacity.check(self._session, configuration, domains, own, importing=importing)

    async def inventory(self, template_folder: str) -> Inventory:
        return await self._session.run(offered.offered, self._session, template_folder)

    async def ensure_template(self, configuration: Configuration) -> TemplateProgress:
        return await self._imports.ensure(configuration)

    async def list_machines(self, gateway_id: str, remembered: Remembered | None = None) -> list[ObservedMachine]:
        self._own = await self._session.run(self._list, gateway_id, remembered)
        return self._own

    async def unfinished(self, gateway_id: str) -> list[CloudTask]:
        found = await self._session.run(self._tasks.unfinished, gateway_id)
        inherited = any(task.kind == "create" and not self._tasks.is_own(task.id) for task in found)
        if inherited or self._inherited:
            # Nothing tells in which folder it will appear: look everywhere, and once more when it is over. Else a
            # gateway that was killed in the midst of making machines, and was then deleted, would leave them behind.
            self._folders.look_everywhere_next(gateway_id)
        self._inherited = inherited
        return [self._watched(task) for task in found]

    async def create_machine(self, gateway_id: str, spec: MachineSpec) -> CloudTask:
        place = await self._place(spec.placement)
        try:
            task = await self._session.run(machines.create, self._session, spec, place)
        except NotFound:
            self._places.pop(spec.placement, None)  # something was removed or made anew under its name
            raise
        return self._watched(self._tasks.started(task, "create", spec.name))

    async def start_machine(self, machine: ObservedMachine) -> CloudTask:
        """Hardware that differs is mended first: the task's kind is `mend` then, and this asks for another call."""
        return await self._next(machine, lambda: machines.start(self._session, machine, self._mended))

    async def clear_user_data(self, machine: ObservedMachine) -> CloudTask:
        return await self._next(machine, lambda: machines.clear_user_data(self._session, machine))

    async def delete_machine(self, machine: ObservedMachine) -> CloudTask:
        """One step at a time: kinds `power-off` and `detach` ask for another call, `delete` is the last."""
        return await self._next(machine, lambda: machines.delete(self._session, machine))

    async def task(self, task_id: str) -> CloudTask | None:
        return await self._session.run(self._tasks.look, task_id)

    async def wait_for_change(self, gateway_id: str, timeout: float) -> bool:
        if not self._folders.knows(gateway_id):
            await self.list_machines(gateway_id)
        return await self._changes.wait(timeout)

    async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
        return await self._session.run(events.who_changed, self._session, kind, machine_id, name)

    async def end_waits(self) -> None:
        await self._changes.end()

    async def end_import(self) -> None:
        await self._imports.close()

    async def _next(self, machine: ObservedMachine, act: Callable[[], tuple[str, Any]]) -> CloudTask:
        kind, task = await self._session.run(act)
        if task is None:
            return CloudTask(id=f"none-{machine.id}", state=TaskState.DONE, kind=kind, machine_name=machine.name)
        return self._watched(self._tasks.started(task, kind, machine.name))

    def _watched(self, task: CloudTask) -> CloudTask:
        self._changes.watch_task(task.id)
        return task

    async def _place(self, placement: Placement) -> Place:
        if placement not in self._places:
            self._places[placement] = await self._session.run(Survey(self._session).place, placement)
        place = self._places[placement]
        self._folders.add(place.folder.object)
        return place

    def _list(self, gateway_id: str, remembered: Remembered | None) -> list[ObservedMachine]:
        try:
            return self._folders.list_machines(gateway_id, remembered)
        except vmodl.fault.ManagedObjectNotFound:
            # A folder of ours is gone: look everywhere again, with nothing remembered.
            self._folders.forget()
            self._places.clear()
            return self._folders.list_machines(gateway_id, None)
