"""One gateway's reconciler in simulated time, with its disk, a cloud that can be made to misbehave, and a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pcg.clock import LoopClock
from pcg.clouds.base import (
    ChangeKind,
    CloudTask,
    Connection,
    Login,
    MachineChange,
    ObservedMachine,
    Remembered,
    TaskState,
)
from pcg.errors import CredentialsRejected
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.steps.outcome import JetEndpoint
from pcg.gateway.store import GatewayStore
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.model.records import ConditionReport, Event, GatewayStatus, StepReport
from pcg.model.states import ConditionName, StepName, StepState
from pcg.sealing.boxes import seal, seal_credentials
from property.fake_cloud import CREATE, FakeCloud, FakeConnection, FakeKubernetes, nothing_is_tried
from unit.gateway.reconciler.making import DOCUMENT, GATEWAY, KEYS, NAME, Neighbours

PATIENCE = 7200.0
"""simulated seconds after which something is taken for stuck"""


@dataclass
class MoodyCloud(FakeCloud):
    """`moods` are raised, by call, as long as they are set. `password` is the one that it accepts."""

    password: str = "secret"
    logins: int = 0
    moods: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    who: MachineChange | None = None
    """who changed whatever is asked about"""
    deaf: bool = False
    """its news are lost"""
    clone_error: Exception | None = None
    """of which each task that makes a machine fails"""

    async def touch(self) -> None:
        """A piece of news that leaves nothing to do."""
        await self._news()

    async def reconfigure(self, machine_id: str, hardware: tuple[int, int]) -> None:
        self.machines[machine_id] = replace(self.machines[machine_id], hardware=hardware)
        await self._news()

    async def fail(self, task: CloudTask) -> None:
        await asyncio.sleep(CREATE)
        self.tasks[task.id] = replace(task, state=TaskState.FAILED, error=self.clone_error)
        await self._news()

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Connection]:
        self.note("connect")
        self.log_in(login)
        yield MoodyConnection(self, login=login)

    def log_in(self, login: Login) -> None:
        self.logins += 1
        if login.password != self.password:
            raise CredentialsRejected("The password is wrong.", reason="credentials-rejected")

    def note(self, call: str) -> None:
        self.asked.append((asyncio.get_running_loop().time(), call))
        if call in self.moods:
            raise self.moods[call]

    def times(self, call: str) -> list[float]:
        return [at for at, name in self.asked if name == call]


@dataclass
class MoodyConnection(FakeConnection):
    cloud: MoodyCloud
    login: Login | None = None
    session_ended: bool = False
    """the session logs in again at its next call, as each vendor's does"""

    def _call(self, name: str) -> None:
        self.cloud.note(name)
        if self.cloud.moods.get("session") and self.login is not None:
            self.cloud.log_in(self.login)

    async def check(self, configuration: Any, spares: Collection[int] = ()) -> Any:
        self._call("check")
        return await super().check(configuration, spares)

    async def list_machines(self, gateway_id: str, remembered: Remembered | None = None) -> list[ObservedMachine]:
        self._call("list_machines")
        return await super().list_machines(gateway_id, remembered)

    async def create_machine(self, gateway_id: str, spec: Any) -> Any:
        self._call("create_machine")
        if self.cloud.clone_error is not None:
            task = CloudTask(f"failing-{len(self.cloud.tasks)}", TaskState.RUNNING, "create", spec.name)
            self.cloud.tasks[task.id] = task
            self.cloud.works.add(asyncio.create_task(self.cloud.fail(task)))
            return task
        return await super().create_machine(gateway_id, spec)

    async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
        self._call("who_changed")
        return self.cloud.who

    async def delete_machine(self, machine: ObservedMachine) -> Any:
        self._call("delete_machine")
        return await super().delete_machine(machine)

    async def wait_for_change(self, gateway_id: str, timeout: float) -> bool:
        self._call("wait_for_change")
        if self.cloud.deaf:
            await asyncio.sleep(timeout)
            return False
        return await super().wait_for_change(gateway_id, timeout)


@dataclass
class Life:
    """What a test does to one gateway and sees of it."""

    reconciler: Reconciler
    cloud: MoodyCloud
    store: GatewayStore
    kubernetes: FakeKubernetes
    neighbours: Neighbours
    work: asyncio.Task[Any]
    desired: DesiredState = field(default_factory=lambda: DesiredState(generation=0, incarnation=1, mode="idle"))

    def configure(self, document: dict[str, Any] = DOCUMENT, *, password: str = "secret") -> None:
        configuration, _ = parse_configuration(document)
        version = str(self.desired.generation + 1)
        sealed = seal_credentials(KEYS.public_sealing, GATEWAY, configuration.vcenter, password)
        self.want(
            mode="run",
            configuration=configuration,
            credentials=SealedCredentials(version=version, ciphertext=sealed),
            jet_token=seal(KEYS.public_sealing, b"jet-token"),
        )

    def reset(self) -> None:
        self.want(mode="idle", incarnation=self.desired.incarnation + 1, jet_token=None)

    def delete(self) -> None:
        self.want(mode="delete", jet_token=None)

    def want(self, **changes: Any) -> None:
        self.desired = self.desired.model_copy(update={"generation": self.desired.generation + 1, **changes})
        self.reconciler.want(self.desired)

    async def until(self, goal: Callable[[], bool], patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            while not goal():
                assert not self.work.done()
                await asyncio.sleep(0.5)

    @property
    def status(self) -> GatewayStatus:
        return self.reconciler.status()

    def running(self) -> bool:
        steps = self.status.steps
        told = self.status.generation == self.desired.generation and bool(steps)
        return told and all(step.state is StepState.DONE for step in steps)

    def clean(self) -> bool:
        return self.status.generation == self.desired.generation and self.status.clean

    def step(self, name: StepName) -> StepReport:
        return next((step for step in self.status.steps if step.name == name), StepReport(name=name))

    def problem(self, name: StepName) -> str:
        """The reason of the step's error, or empty."""
        error = self.step(name).last_error
        return error.reason if error else ""

    def condition(self, name: ConditionName) -> ConditionReport | None:
        return next((item for item in self.status.conditions if item.name == name), None)

    def ours(self) -> list[ObservedMachine]:
        return self.cloud.genuine(GATEWAY)

    def events(self) -> list[Event]:
        return [report.event for report in self.store.pending(limit=10_000)[1]]

    def told(self, reason: str) -> int:
        return [event.reason for event in self.events()].count(reason)


@asynccontextmanager
async def living(folder: Path, cloud: MoodyCloud | None = None) -> AsyncIterator[Life]:
    """A gateway that runs as long as the block; in the same folder again it is the gateway started again."""
    cloud = cloud or MoodyCloud()
    store = GatewayStore(folder / "gateway.db")
    kubernetes = FakeKubernetes(cloud)
    neighbours = Neighbours()
    reconciler = Reconciler(
        gateway_id=GATEWAY,
        gateway_name=NAME,
        jet=JetEndpoint("https://console.example", "CA"),
        keys=KEYS,
        store=store,
        clock=LoopClock(),
        cloud_of=lambda kind: cloud,
        kubernetes=kubernetes.open,
        etcd=kubernetes.open,
        ask_who_has=neighbours,
        look_ahead=nothing_is_tried,
    )
    life = Life(reconciler, cloud, store, kubernetes, neighbours, asyncio.create_task(reconciler.run()))
    life.desired = reconciler.desired or life.desired
    try:
        yield life
    finally:
        life.work.cancel()
        await asyncio.gather(life.work, return_exceptions=True)
        await cloud.stop()
        store.close()
