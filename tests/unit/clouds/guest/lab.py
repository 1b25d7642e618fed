"""A hypervisor with nothing behind it, and machines made with the very documents that the gateway writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from doubles.jet import obedient_jet
from pcg.clock import Clock
from pcg.clouds.guest.api_servers import ApiServers, InProcessTransport
from pcg.clouds.guest.containers import ContainerRuntime, CoroutineContainers
from pcg.clouds.guest.hypervisor import GuestMachine, Lease
from pcg.clouds.guest.runner import MachineRunner
from pcg.model.configuration import Configuration, parse_configuration
from pcg.nodes.cloud_config import NodePlan, meta_data, user_data
from pcg.nodes.pki import client_certificate, cluster_secrets

SECRETS = cluster_secrets(b"s" * 32, "gateway-1", 1)
ADMINISTRATOR = client_certificate(SECRETS, datetime(2026, 1, 1, tzinfo=UTC)).certificate
SHARED = "127.64.0.9"


@dataclass
class BareHypervisor:
    """Implements Hypervisor; the test plays the vCenter. `free` addresses are leased in order."""

    free: list[str] = field(default_factory=lambda: [f"127.64.0.{number}" for number in range(10, 20)])
    dhcp_answers: bool = True
    made: dict[str, GuestMachine] = field(default_factory=dict)
    addresses: dict[str, str | None] = field(default_factory=dict)
    stages: list[tuple[str, str, float, float]] = field(default_factory=list)
    leases: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, machine: GuestMachine) -> None:
        self.made[machine.id] = machine
        self._tell()

    def power(self, machine_id: str, on: bool) -> None:
        machine = self.made[machine_id]
        self.made[machine_id] = replace(machine, powered_on=on, boot=machine.boot + (1 if on else 0))
        self._tell()

    def delete(self, machine_id: str) -> None:
        del self.made[machine_id]
        self._tell()

    async def machines(self) -> list[GuestMachine]:
        return list(self.made.values())

    async def wait_for_change(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.changed.wait()
        self.changed.clear()

    async def dhcp_discover(self, machine_id: str) -> Lease | None:
        if not self.dhcp_answers:
            return None
        if machine_id not in self.leases and self.free:
            self.leases[machine_id] = self.free.pop(0)
        return Lease(self.leases.get(machine_id), 24, "127.64.0.1", (), "127.64.0.1")

    async def report_guest(
        self, machine_id: str, *, address: str | None, host_name: str, tools_running: bool, dhcp: bool | None = None
    ) -> None:
        self.addresses[machine_id] = address

    async def record(self, machine_id: str, stage: str, started: float, finished: float) -> None:
        self.stages.append((machine_id, stage, started, finished))

    def _tell(self) -> None:
        self.changed.set()


def configuration(nodes: int = 1) -> Configuration:
    document: dict[str, Any] = {
        "cloud": "simulated",
        "vcenter": {"address": "127.0.0.1:1", "username": "someone"},
        "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
        "template": {"image": "node.ova"},
        "nodes": {"count": nodes},
        "network": {"controlPlaneAddress": SHARED} if nodes == 3 else {},
    }
    return parse_configuration(document)[0]


def node_machine(number: int, nodes: int = 1, **changes: Any) -> GuestMachine:
    """The `number`-th machine of a cluster; the first one initialises it."""
    wanted = configuration(nodes)
    plan = NodePlan(f"node-{number}", None if number == 1 else f"{SHARED}:6443", "https://console", "PEM")
    machine = GuestMachine(
        id=f"vm-{number}",
        name=plan.name,
        instance=f"instance-{number}",
        powered_on=True,
        boot=1,
        user_data=user_data(plan, wanted, SECRETS),
        meta_data=meta_data(plan.name, f"instance-{number}", wanted, None),
    )
    return replace(machine, **changes)


def given(machine: GuestMachine, change: Callable[[dict[str, Any]], Any]) -> GuestMachine:
    """The machine with its user data changed: `change` edits the cloud-config document in place."""
    document = yaml.safe_load(machine.user_data or "")
    change(document)
    return replace(machine, user_data=cloud_config(document))


def cloud_config(document: dict[str, Any]) -> str:
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False)


def file_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    """The entry of write_files for `path`."""
    (found,) = [entry for entry in document["write_files"] if entry["path"] == path]
    return found


def drop_file(document: dict[str, Any], path: str) -> None:
    document["write_files"].remove(file_of(document, path))


def replace_in_file(path: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    """For `given`: other words in a file that the machine is told to write."""

    def change(document: dict[str, Any]) -> None:
        entry = file_of(document, path)
        assert old in entry["content"]
        entry["content"] = entry["content"].replace(old, new)

    return change


def deployment(name: str, image: str, **pod: Any) -> dict[str, Any]:
    """One container of `image`; `pod` is more of the pod's specification."""
    labels = {"app": name}
    spec = {"containers": [{"name": name, "image": image}], **pod}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@dataclass
class Lab:
    hypervisor: BareHypervisor
    runner: MachineRunner
    state: Path
    clock: Clock

    def client(self, address: str) -> httpx.AsyncClient:
        """As the gateway's own: an administrator by client certificate."""
        transport = InProcessTransport(self.runner.api_servers, ca=SECRETS.ca_certificate, certificate=ADMINISTRATOR)
        return httpx.AsyncClient(transport=transport, base_url=f"https://{address}:6443")

    async def get(self, path: str, address: str = "127.64.0.10") -> httpx.Response:
        async with self.client(address) as client:
            return await client.get(path)

    async def send(self, method: str, path: str, body: Any = None, address: str = "127.64.0.10") -> httpx.Response:
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        async with self.client(address) as client:
            return await client.request(method, path, json=body, headers=headers)

    async def nodes_are_ready(self, count: int = 1, address: str = "127.64.0.10", within: float = 600.0) -> float:
        """Waits for so many ready nodes; the moment at which they were."""

        async def ready() -> bool:
            return len(await self.ready_nodes(address)) == count

        await self.until(ready, within)
        return self.clock.monotonic()

    async def events(self, reason: str, namespace: str = "pcg-system") -> list[dict[str, Any]]:
        answer = await self.get(f"/api/v1/namespaces/{namespace}/events")
        return [event for event in answer.json()["items"] if event["reason"] == reason]

    async def deploy(self, wanted: dict[str, Any]) -> None:
        answer = await self.send("POST", "/apis/apps/v1/namespaces/pcg-system/deployments", wanted)
        assert answer.status_code == 201, answer.text

    async def pod_of(self, app: str) -> dict[str, Any] | None:
        found = [pod for pod in await self.pods() if pod["metadata"]["labels"].get("app") == app]
        return found[0] if found else None

    async def waiting(self, app: str, reason: str) -> dict[str, Any] | None:
        """The status of the app's container while it waits for `reason`."""
        pod = await self.pod_of(app)
        statuses = pod["status"].get("containerStatuses", []) if pod else []
        return next((entry for entry in statuses if entry["state"].get("waiting", {}).get("reason") == reason), None)

    async def until(self, condition: Callable[[], Any], within: float = 600.0) -> Any:
        """The condition's first true answer."""
        async with asyncio.timeout(within):
            while True:
                answer = condition()
                answer = await answer if asyncio.iscoroutine(answer) else answer
                if answer:
                    return answer
                await self.clock.sleep(0.25)

    async def answers(self, path: str, address: str = "127.64.0.10") -> httpx.Response | None:
        try:
            answer = await self.get(path, address)
        except httpx.ConnectError:
            return None
        return answer if answer.is_success else None

    async def ready_nodes(self, address: str = "127.64.0.10") -> list[str]:
        answer = await self.answers("/api/v1/nodes", address)
        items = answer.json()["items"] if answer else []
        return [item["metadata"]["name"] for item in items if condition(item, "Ready") == "True"]

    async def pods(self, address: str = "127.64.0.10") -> list[dict[str, Any]]:
        answer = await self.answers("/api/v1/namespaces/pcg-system/pods", address)
        return answer.json()["items"] if answer else []

    async def give_token(self, address: str = "127.64.0.10") -> None:
        async with self.client(address) as client:
            secret = {"metadata": {"name": "jet-token"}, "stringData": {"token": "t0ken"}}
            answer = await client.post("/api/v1/namespaces/pcg-system/secrets", json=secret)
        assert answer.status_code == 201, answer.text

    async def running(self, app: str, restarts: int = 0) -> dict[str, Any] | None:
        """The app's pod while its container runs for the (restarts + 1)-th time or later."""
        pod = await self.pod_of(app)
        statuses = pod["status"].get("containerStatuses", []) if pod else []
        good = any("running" in entry["state"] and entry["restartCount"] >= restarts for entry in statuses)
        return pod if good else None

    def log(self, name: str, machine: str = "node-1") -> str:
        """Of `var/log`, or an absolute path of the guest's disk."""
        folder = self.state / "machines" / machine
        path = folder / "rootfs" / name[1:] if name.startswith("/") else folder / "var/log" / name
        return path.read_text() if path.exists() else ""

    def output(self, machine: str = "node-1") -> str:
        return self.log("cloud-init-output.log", machine)


def condition(item: dict[str, Any], kind: str) -> str:
    found = [entry["status"] for entry in item["status"].get("conditions", []) if entry["type"] == kind]
    return found[0] if found else ""


@asynccontextmanager
async def running_lab(
    state: Path,
    clock: Clock,
    *,
    hypervisor: BareHypervisor | None = None,
    speed: float = 1.0,
    containers: ContainerRuntime | None = None,
    listen: bool = False,
) -> AsyncIterator[Lab]:
    hypervisor = hypervisor or BareHypervisor()
    servers = ApiServers(listen=listen)
    runner = MachineRunner(
        hypervisor,
        clock=clock,
        speed=speed,
        state=state,
        containers=containers or CoroutineContainers({"pcg/jet": obedient_jet}),
        api_servers=servers,
    )
    task = asyncio.create_task(runner.run())
    try:
        yield Lab(hypervisor, runner, state, clock)
        assert not task.done(), "the runner ended by itself"
    finally:
        if task.done() and not task.cancelled():
            task.result()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
