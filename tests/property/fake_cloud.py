"""A private cloud in memory on the loop's own time: the smallest thing that keeps the contract of `clouds/base.py`.

It outlives the gateways that use it, works on while nobody looks, and takes part in no crash. Beside it a cluster's API
that comes up by itself once its first machine has run for a while.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

import yaml

from pcg.clouds.base import (
    Check,
    CloudTask,
    Connection,
    Login,
    MachineSpec,
    ObservedMachine,
    PowerState,
    Remembered,
    TaskState,
    TemplateProgress,
    marks_of,
)
from pcg.errors import Conflict, GiveUp, NotFound, TryAgain
from pcg.gateway.kubernetes_api import NodeState
from pcg.gateway.ways_ahead import Ahead
from pcg.model.configuration import Configuration
from pcg.model.made_from import parse_made_from
from pcg.model.naming import MARK_ADDRESS, MARK_INSTANCE, MARK_MADE_FROM

CREATE, START, DELETE, BOOT, INIT, IMPORT = 20.0, 3.0, 5.0, 12.0, 24.0, 15.0


async def nothing_is_tried(ahead: Ahead) -> list[Check]:
    """A mock of the network around the gateway: in simulated time no socket is asked."""
    return []


@dataclass
class FakeCloud:
    """`given_twice` and `given_early` tell of static addresses that a machine was asked for with while another had it,
    or sooner than five minutes after another was gone."""

    machines: dict[str, ObservedMachine] = field(default_factory=dict)
    specs: dict[str, MachineSpec] = field(default_factory=dict)
    tasks: dict[str, CloudTask] = field(default_factory=dict)
    template: bool = False
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    version: int = 0
    works: set[asyncio.Task[None]] = field(default_factory=set)
    up_since: dict[str, float] = field(default_factory=dict)
    created: int = 0
    making: dict[str, MachineSpec] = field(default_factory=dict)
    """by task"""
    left: dict[str, float] = field(default_factory=dict)
    """static addresses, and when a machine that had one was removed"""
    given_twice: list[str] = field(default_factory=list)
    given_early: list[str] = field(default_factory=list)

    # What a lab does to it.

    async def add_stranger(self, name: str) -> str:
        return await self._put(ObservedMachine(_id(), name, str(uuid.uuid4()), {}, PowerState.ON, None, (2, 4)))

    async def copy(self, machine: ObservedMachine) -> str:
        """As a person would: the marks come along, the instance id does not."""
        return await self._put(replace(machine, id=_id(), name=f"copy-of-{machine.name}", instance=str(uuid.uuid4())))

    async def remove(self, machine_id: str) -> None:
        removed = self.machines.pop(machine_id, None)
        if removed is not None:
            self.left[removed.marks.get(MARK_ADDRESS, "")] = asyncio.get_running_loop().time()
            self.up_since.pop(machine_id, None)
            await self._news()

    async def power_off(self, machine_id: str) -> None:
        if machine_id in self.machines:
            self.machines[machine_id] = replace(self.machines[machine_id], power=PowerState.OFF, address=None)
            self.up_since.pop(machine_id, None)
            await self._news()

    def genuine(self, gateway_id: str) -> list[ObservedMachine]:
        return [item for item in self.machines.values() if item.belongs_to(gateway_id) and item.genuine]

    async def stop(self) -> None:
        for work in self.works:
            work.cancel()
        await asyncio.gather(*self.works, return_exceptions=True)

    # The contract.

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Connection]:
        yield FakeConnection(self)

    # Inside.

    async def _put(self, machine: ObservedMachine) -> str:
        self.created += 1
        self.machines[machine.id] = replace(machine, created=float(self.created))
        await self._news()
        return machine.id

    async def _news(self) -> None:
        async with self.changed:
            self.version += 1
            self.changed.notify_all()

    def begin(self, kind: str, name: str, seconds: float, effect: Any) -> CloudTask:
        task = CloudTask(_id(), TaskState.RUNNING, kind, name, 0)
        self.tasks[task.id] = task

        async def work() -> None:
            await asyncio.sleep(seconds)
            try:
                await effect()
                self.tasks[task.id] = replace(task, state=TaskState.DONE, progress=100)
            except (Conflict, NotFound) as error:
                self.tasks[task.id] = replace(task, state=TaskState.FAILED, error=error)
            await self._news()

        running = asyncio.create_task(work())
        self.works.add(running)
        running.add_done_callback(self.works.discard)
        return task

    async def make(self, spec: MachineSpec) -> None:
        if any(machine.name == spec.name for machine in self.machines.values()):
            raise Conflict(f"{spec.name} is taken", reason="name-taken")
        hardware = (spec.hardware.cpus, spec.hardware.memory_gi_b)
        made = ObservedMachine(_id(), spec.name, spec.marks[MARK_INSTANCE], spec.marks, PowerState.OFF, None, hardware)
        self.specs[await self._put(made)] = spec

    def watch_address(self, spec: MachineSpec) -> None:
        address, instance = spec.marks.get(MARK_ADDRESS), spec.marks[MARK_INSTANCE]
        if address is None:
            return
        assert f"{address}/" in spec.meta_data
        making = [
            self.making[key].marks
            for key, task in self.tasks.items()
            if task.state is TaskState.RUNNING and key in self.making
        ]
        there = [machine.marks for machine in self.machines.values()]
        told = {machine.address for machine in self.machines.values() if machine.instance != instance}
        others = {marks.get(MARK_ADDRESS) for marks in [*making, *there] if marks.get(MARK_INSTANCE) != instance}
        if address in others | told:
            self.given_twice.append(f"{address} to {spec.name}")
        if asyncio.get_running_loop().time() - self.left.get(address, float("-inf")) < 300:
            self.given_early.append(f"{address} to {spec.name}")

    async def start(self, machine_id: str) -> None:
        if machine_id not in self.machines:
            raise NotFound("gone")
        self.machines[machine_id] = replace(self.machines[machine_id], power=PowerState.ON)
        self.up_since[machine_id] = asyncio.get_running_loop().time()

        async def boot() -> None:
            began = self.up_since[machine_id]
            await asyncio.sleep(BOOT)
            if self.up_since.get(machine_id) == began and machine_id in self.machines:
                leased = f"127.64.0.{10 + len(self.specs) + list(self.machines).index(machine_id)}"
                address = self.machines[machine_id].marks.get(MARK_ADDRESS, leased)
                self.machines[machine_id] = replace(self.machines[machine_id], address=address)
                await self._news()

        running = asyncio.create_task(boot())
        self.works.add(running)
        running.add_done_callback(self.works.discard)


@dataclass
class FakeConnection:
    cloud: FakeCloud
    seen: int = -1

    async def check(self, configuration: Configuration, spares: Collection[int] = ()) -> list[Check]:
        return [Check("all", True, "all is well")]

    async def ensure_template(self, configuration: Configuration) -> TemplateProgress:
        if self.cloud.template:
            return TemplateProgress("template-1")
        running = [task for task in self.cloud.tasks.values() if task.kind == "import"]
        if not running:

            async def effect() -> None:
                self.cloud.template = True

            running = [self.cloud.begin("import", "", IMPORT, effect)]
        return TemplateProgress(None, running[0])

    async def list_machines(self, gateway_id: str, remembered: Remembered | None = None) -> list[ObservedMachine]:
        self.cloud.counts["list"] = self.cloud.counts.get("list", 0) + 1
        self.seen = self.cloud.version
        return [item for item in self.cloud.machines.values() if item.belongs_to(gateway_id)]

    async def unfinished(self, gateway_id: str) -> list[CloudTask]:
        return [task for task in self.cloud.tasks.values() if task.state is TaskState.RUNNING and task.machine_name]

    async def create_machine(self, gateway_id: str, spec: MachineSpec) -> CloudTask:
        made_from = parse_made_from(spec.marks[MARK_MADE_FROM])
        assert made_from is not None
        assert made_from.hardware == (spec.hardware.cpus, spec.hardware.memory_gi_b)
        address = spec.marks.get(MARK_ADDRESS)
        assert spec.marks == marks_of(
            gateway_id, spec.marks["pcg.machine"], spec.marks[MARK_INSTANCE], address, made_from
        )
        if any(machine.instance == spec.marks[MARK_INSTANCE] for machine in self.cloud.machines.values()):
            raise Conflict("in use", reason="instance-exists")
        self.cloud.watch_address(spec)
        task = self.cloud.begin("create", spec.name, CREATE, lambda: self.cloud.make(spec))
        self.cloud.making[task.id] = spec
        return task

    async def start_machine(self, machine: ObservedMachine) -> CloudTask:
        return self.cloud.begin("start", machine.name, START, lambda: self.cloud.start(machine.id))

    async def clear_user_data(self, machine: ObservedMachine) -> CloudTask:
        return CloudTask("none", TaskState.DONE, "reconfigure", machine.name)

    async def delete_machine(self, machine: ObservedMachine) -> CloudTask:
        if not machine.genuine:
            raise GiveUp("not ours")
        if machine.id not in self.cloud.machines:
            return CloudTask("none", TaskState.DONE, "delete", machine.name)
        return self.cloud.begin("delete", machine.name, DELETE, lambda: self.cloud.remove(machine.id))

    async def task(self, task_id: str) -> CloudTask | None:
        return self.cloud.tasks.get(task_id)

    async def wait_for_change(self, gateway_id: str, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self.cloud.changed:
                await self.cloud.changed.wait_for(lambda: self.cloud.version != self.seen)
                return True
        except TimeoutError:
            return False


class FakeKubernetes:
    """The API of whatever cluster the fake's machines make up."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud
        self._members: set[str] = set()
        self._removed: set[str] = set()
        self._draining: dict[str, datetime] = {}

    @asynccontextmanager
    async def open(self, address: str, secrets: Any, certificate: Any) -> AsyncIterator[Any]:
        yield self

    def _running(self, seconds: float) -> list[ObservedMachine]:
        now = asyncio.get_running_loop().time()
        cloud = self._cloud
        return [
            cloud.machines[key]
            for key, since in cloud.up_since.items()
            if key in cloud.specs and key in cloud.machines and now - since >= seconds
        ]

    async def ready(self) -> str:
        started = [
            item for item in self._running(BOOT + INIT) if "init" in _kubeadm(self._cloud.specs[item.id].user_data)
        ]
        if not started and not self._cloud.secrets.get("formed"):
            raise TryAgain("not yet", evidence=["connection refused"])
        if not self._running(BOOT):
            raise TryAgain("no node", evidence=["connection refused"])
        self._cloud.secrets["formed"] = {"yes": b""}
        return "ok"

    async def nodes(self) -> dict[str, NodeState]:
        draining = self._draining
        running = self._running(BOOT + INIT)
        return {item.name: NodeState(True, draining_since=draining.get(item.name)) for item in running}

    async def begin_drain(self, name: str, now: datetime) -> None:
        self._draining[name] = now

    async def end_drain(self, name: str) -> None:
        self._draining.pop(name, None)

    async def pods_on(self, node: str) -> list[dict[str, Any]]:
        return []

    async def delete_node(self, name: str) -> None:
        return None

    # Of etcd's API; a member stays one until it is removed, dead or alive.

    async def members(self) -> dict[str, str]:
        living = set(await self.nodes()) - self._removed
        self._members |= living
        if 2 * len(living) <= len(self._members):
            raise TryAgain("no majority", reason="etcd-refused", evidence=["etcdserver: no leader"])
        return {name: name for name in self._members}

    async def never_started(self) -> dict[str, str]:
        return {}

    async def remove(self, member: str) -> None:
        self._members.discard(member)
        self._removed.add(member)
        if 2 * len(self._members & set(await self.nodes())) <= len(self._members):
            raise AssertionError("the quorum was given away")

    async def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        return {}

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self._cloud.secrets.get(name)

    async def put_secret(self, namespace: str, name: str, data: dict[str, bytes], *, kind: str = "Opaque") -> None:
        self._cloud.secrets[name] = data

    async def delete_secret(self, namespace: str, name: str) -> None:
        self._cloud.secrets.pop(name, None)

    async def pods(self, namespace: str) -> list[dict[str, Any]]:
        ready = "jet-token" in self._cloud.secrets
        return [{"metadata": {"name": "jet-1"}, "status": {"containerStatuses": [{"ready": ready, "state": {}}]}}]

    async def delete_pod(self, namespace: str, name: str) -> None:
        return None


@cache
def _kubeadm(user_data: str) -> list[str]:
    """What kubeadm is told to do. Each pass of the gateway asks it of each machine, and reading YAML takes long."""
    return [item[1] for item in yaml.safe_load(user_data)["runcmd"] if item[0] == "kubeadm"]


def _id() -> str:
    return uuid.uuid4().hex[:12]
