"""Situations made by hand for one step at a time: a cloud and a cluster that answer what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from nacl.signing import SigningKey

from pcg.clock import LoopClock
from pcg.clouds.base import (
    ChangeKind,
    Check,
    CloudTask,
    MachineChange,
    MachineSpec,
    ObservedMachine,
    PowerState,
    TaskState,
    TemplateProgress,
    marks_of,
)
from pcg.gateway.address_claims import AddressClaims
from pcg.gateway.kubernetes_api import NodeState
from pcg.gateway.memory import ClusterMemory, Memory, Slot
from pcg.gateway.steps.outcome import JetEndpoint, Patience, Situation
from pcg.gateway.store import GatewayStore
from pcg.model.address_plan import pool_of
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState
from pcg.model.naming import instance_uuid, machine_mark, machine_name
from pcg.network.address_in_use import AddressAnswer, Presence
from pcg.network.knocking import Knock
from pcg.nodes.pki import ClientCertificate, ClusterSecrets, cluster_secrets
from pcg.sealing.boxes import seal
from pcg.sealing.keys import GatewayKeys
from property.fake_cloud import nothing_is_tried

GATEWAY = "0123abcd-0000-4000-8000-000000000001"
NAME = "berlin"
KEYS = GatewayKeys(SigningKey(b"\1" * 32), GatewayKeys.generate().opening, b"\3" * 32)
TOKEN = b"jet-token"
DOCUMENT: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.64.0.2", "username": "svc"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "n"}],
    "template": {"image": "node"},
    "nodes": {"count": 1, "size": "small"},
}
SHARED = {"network": {"controlPlaneAddress": "127.64.0.9"}}
THREE = {**DOCUMENT, "nodes": {"count": 3, "size": "small"}, **SHARED}


def static(first: str, last: str, count: int = 1) -> dict[str, Any]:
    """A configuration with a pool of static addresses."""
    pool = {"range": f"{first}-{last}", "prefix": 24, "gateway": "127.64.0.1"}
    network = {"addresses": {"static": pool}, "controlPlaneAddress": "127.64.0.9", "nameServers": ["127.64.0.1"]}
    return {**DOCUMENT, "nodes": {"count": count, "size": "small"}, "network": network}


def name_of(ordinal: int, incarnation: int = 1) -> str:
    return machine_name(GATEWAY, NAME, incarnation, ordinal)


def machine(
    ordinal: int, incarnation: int = 1, *, power: PowerState = PowerState.ON, address: str | None = None, **more: Any
) -> ObservedMachine:
    """A genuine machine of ours."""
    instance = instance_uuid(GATEWAY, incarnation, ordinal)
    marks = marks_of(GATEWAY, machine_mark(incarnation, ordinal), instance)
    values = {"name": name_of(ordinal, incarnation), "instance": instance, "marks": marks, "hardware": (4, 4)}
    return ObservedMachine(
        **{"id": f"vm-{incarnation}-{ordinal}", **values, "power": power, "address": address, **more}
    )


@dataclass
class CloudDouble:
    """Does nothing by itself. `refusal` is raised by the next call that would change something."""

    tasks: dict[str, CloudTask] = field(default_factory=dict)
    made: list[MachineSpec] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    refusals: dict[str, Exception] = field(default_factory=dict)
    """by what was asked: create, start or delete, and the machine's name"""
    checks: list[Check] = field(default_factory=list)
    spares: set[int] = field(default_factory=set)
    """that the last check was asked about"""
    progress: TemplateProgress = field(default_factory=lambda: TemplateProgress("template-1"))
    who: MachineChange | Exception | None = None
    """who changed whatever is asked about, or what asking for it raises"""
    asked_who: list[tuple[ChangeKind, str, str]] = field(default_factory=list)

    async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
        self.asked_who.append((kind, machine_id, name))
        if isinstance(self.who, Exception):
            raise self.who
        return self.who

    async def check(self, configuration: Any, spares: Collection[int] = ()) -> list[Check]:
        await asyncio.sleep(0)
        self.spares = set(spares)
        if "check" in self.refusals:
            raise self.refusals["check"]
        return self.checks

    async def ensure_template(self, configuration: Any) -> TemplateProgress:
        return self.progress

    async def create_machine(self, gateway_id: str, spec: MachineSpec) -> CloudTask:
        self._refuse("create", spec.name)
        self.made.append(spec)
        return self._begin("create", spec.name)

    async def start_machine(self, machine: ObservedMachine) -> CloudTask:
        self._refuse("start", machine.name)
        self.started.append(machine.name)
        return self._begin("start", machine.name)

    async def delete_machine(self, machine: ObservedMachine) -> CloudTask:
        self._refuse("delete", machine.name)
        self.deleted.append(machine.name)
        return self._begin("delete", machine.name)

    async def clear_user_data(self, machine: ObservedMachine) -> CloudTask:
        self._refuse("clear", machine.name)
        self.cleared.append(machine.name)
        return self._begin("reconfigure", machine.name)

    async def task(self, task_id: str) -> CloudTask | None:
        return self.tasks.get(task_id)

    def ended(self, task_id: str, error: Exception | None = None) -> None:
        task = self.tasks[task_id]
        state = TaskState.FAILED if error else TaskState.DONE
        self.tasks[task_id] = CloudTask(task.id, state, task.kind, task.machine_name, 100, error)

    def _refuse(self, what: str, name: str) -> None:
        refusal = self.refusals.get(f"{what} {name}")
        if refusal is not None:
            raise refusal

    def _begin(self, kind: str, name: str) -> CloudTask:
        task = CloudTask(f"task-{len(self.tasks) + 1}", TaskState.RUNNING, kind, name, 0)
        self.tasks[task.id] = task
        return task


@dataclass
class ClusterDouble:
    """The cluster's API as a test wants it to answer. `silence` is raised by `ready`."""

    silence: Exception | None = None
    ready_nodes: dict[str, bool] = field(default_factory=dict)
    full_nodes: set[str] = field(default_factory=set)
    removed: list[str] = field(default_factory=list)
    deployed: bool = True
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    jet_pods: list[dict[str, Any]] = field(default_factory=list)
    deleted_pods: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    """each at which it was opened"""
    draining: dict[str, datetime] = field(default_factory=dict)
    pods_by_node: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    budgets: dict[str, str] = field(default_factory=dict)
    """why a pod may not be evicted, by its name"""
    evicted: list[str] = field(default_factory=list)
    etcd_members: list[str] = field(default_factory=list)
    learners: set[str] = field(default_factory=set)
    """of these members"""
    announced: list[str] = field(default_factory=list)
    """hosts of members that never began"""
    etcd_errors: dict[str, Exception] = field(default_factory=dict)
    """by the address that is asked"""

    @asynccontextmanager
    async def open(self, address: str, secrets: Any, certificate: Any) -> AsyncIterator[Any]:
        self.addresses.append(address)
        yield self

    async def ready(self) -> str:
        if self.silence is not None:
            raise self.silence
        return "ok"

    async def nodes(self) -> dict[str, NodeState]:
        pressure = "kubelet has disk pressure"
        return {
            name: NodeState(
                ready,
                "Kubelet stopped posting node status.",
                pressure if name in self.full_nodes else "",
                self.draining.get(name),
            )
            for name, ready in self.ready_nodes.items()
        }

    async def begin_drain(self, name: str, now: datetime) -> None:
        self.draining[name] = now

    async def end_drain(self, name: str) -> None:
        del self.draining[name]

    async def pods_on(self, node: str) -> list[dict[str, Any]]:
        return self.pods_by_node.get(node, [])

    async def evict(self, namespace: str, name: str) -> str:
        self.evicted.append(f"{namespace}/{name}")
        return self.budgets.get(name, "")

    async def delete_node(self, name: str) -> None:
        self.removed.append(name)
        self.ready_nodes.pop(name, None)

    async def members(self) -> dict[str, str]:
        error = self.etcd_errors.get(self.addresses[-1])
        if error is not None:
            raise error
        return {name: f"id of {name}" for name in self.etcd_members}

    async def voters(self) -> set[str]:
        return set(await self.members()) - self.learners

    async def never_started(self) -> dict[str, str]:
        return {host: f"announced at {host}" for host in self.announced}

    async def remove(self, member: str) -> None:
        if member.startswith("announced at "):
            self.announced.remove(member.removeprefix("announced at "))
            return
        self.etcd_members.remove(member.removeprefix("id of "))

    async def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        return {"metadata": {"name": name}} if self.deployed else None

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self.secrets.get(name)

    async def put_secret(self, namespace: str, name: str, data: dict[str, bytes], *, kind: str = "Opaque") -> None:
        self.secrets[name] = data

    async def delete_secret(self, namespace: str, name: str) -> None:
        self.secrets.pop(name, None)

    async def pods(self, namespace: str) -> list[dict[str, Any]]:
        return self.jet_pods

    async def delete_pod(self, namespace: str, name: str) -> None:
        self.deleted_pods.append(name)


def pod(name: str, *, ready: bool = False, waiting: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [{"ready": ready, "state": state}]}}


@dataclass
class Doors:
    """What is met at addresses and ports; all others refuse."""

    answers: dict[tuple[str, int], Knock] = field(default_factory=dict)

    async def __call__(self, address: str, port: int) -> Knock:
        return self.answers.get((address, port), Knock.REFUSED)


class StoreDouble(GatewayStore):
    """Keeps what is put, with no file to be closed."""

    def __init__(self) -> None:
        self._kept: dict[str, str | None] = {}

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def get(self, key: str) -> str | None:
        return self._kept.get(key)

    def put(self, key: str, value: str | None) -> None:
        self._kept[key] = value


@dataclass
class Neighbours:
    """What is answered when it is asked who has an address; by default nobody."""

    answers: dict[str, AddressAnswer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, address: str) -> AddressAnswer:
        self.asked.append(address)
        return self.answers.get(address, AddressAnswer(Presence.FREE, "nobody answered"))

    def have(self, address: str, mac: str = "02:00:00:00:00:09") -> None:
        self.answers[address] = AddressAnswer(Presence.IN_USE, f"{mac} answered an ARP probe for {address}", mac)


@dataclass
class Made:
    """A situation with all that it was made of; `told` has reason and machine of each event, `shown` the open drifts
    whenever the status was shown, with the number of machines that had been started or made by then."""

    situation: Situation
    cloud: CloudDouble
    cluster: ClusterDouble
    told: list[tuple[str, str | None]]
    claims: AddressClaims
    shown: list[tuple[list[str], int]]

    def look(self, *others: ObservedMachine) -> None:
        """As the reconciler does after its bulk read, which also has `others`."""
        making = {task.machine_name for task in self.situation.unfinished if task.kind == "create"}
        self.claims.look([*self.situation.machines, *others], making, pool_of(self.situation.configuration.network))

    @property
    def neighbours(self) -> Neighbours:
        assert isinstance(self.claims.ask, Neighbours)
        return self.claims.ask

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]

    @property
    def slots(self) -> list[Slot]:
        return self.situation.cluster.slots


def situation(
    document: dict[str, Any] = DOCUMENT,
    *slots: Slot,
    machines: tuple[ObservedMachine, ...] = (),
    formed: bool = False,
    mode: str = "run",
    **more: Any,
) -> Made:
    """`slots` are what the memory has; `machines` what the cloud reports of this incarnation."""
    configuration, _ = parse_configuration(document)
    cloud, cluster = CloudDouble(), ClusterDouble()
    told: list[tuple[str, str | None]] = []
    shown: list[tuple[list[str], int]] = []

    def tell(reason: str, message: str, severity: Any = None, *, machine: str | None = None, **more: Any) -> None:
        told.append((reason, machine))

    async def show() -> None:
        shown.append(([str(drift.cause) for drift in memory.drifts], len(cloud.started) + len(cloud.made)))

    remembered = Memory(StoreDouble())
    claims = AddressClaims(remembered, LoopClock(), Neighbours(), lambda owner: name_of(int(owner.partition("/")[2])))
    memory = remembered.cluster = ClusterMemory(incarnation=1, slots=list(slots), template="template-1", formed=formed)
    memory.next_ordinal = max((slot.ordinal for slot in slots), default=0) + 1
    values: dict[str, Any] = {
        "gateway_id": GATEWAY,
        "gateway_name": NAME,
        "jet": JetEndpoint("https://console.example", "CA"),
        "keys": KEYS,
        "clock": LoopClock(),
        "desired": DesiredState(
            generation=1,
            incarnation=1,
            mode=mode,  # type: ignore[arg-type]
            configuration=configuration,
            jet_token=seal(KEYS.public_sealing, TOKEN),
        ),
        "configuration": configuration,
        "secrets": secrets(),
        "certificate": lambda: ClientCertificate("certificate", "key", LoopClock().now()),
        "kubernetes": cluster.open,
        "etcd": cluster.open,
        "etcd_certificate": lambda: ClientCertificate("certificate", "key", LoopClock().now()),
        "cluster": memory,
        "addresses": claims,
        "patience": Patience(0.0),
        "knock": Doors(),
        "look_ahead": nothing_is_tried,
        "tell": tell,
        "show": show,
        "connection": cloud,
        "machines": list(machines),
    }
    made = Made(Situation(**{**values, **more}), cloud, cluster, told, claims, shown)
    if configuration.network.addresses.static is not None:
        made.look()
    return made


@cache
def secrets() -> ClusterSecrets:
    return cluster_secrets(KEYS.cluster_seed, GATEWAY, 1)
