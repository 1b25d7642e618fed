"""What a large vCenter costs: our own machines and a full preflight among 10,000 machines of others.

Counted by the simulator (calls) and by a relay before it (bytes of the TLS connection, both ways). The reference is
read in the same run: every machine object by object with plain pyVmomi, which is what a simple script does. With
`--sample` it reads some of them and multiplies; `reference_sample` says how many were read. Also measured: whether
three clones of 1.5 s go side by side. Prints one JSON line; fails when a limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyVmomi import SoapStubAdapter, vim

from pcg.clouds.base import CloudTask, Connection, Login, MachineSpec, Remembered, TaskState, marks_of
from pcg.clouds.table import cloud_of
from pcg.clouds.vsphere import privileges
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.model.configuration import CloudKind, Configuration, CustomSize
from pcg.model.naming import instance_uuid, machine_mark, machine_name
from pcg.nodes.cloud_config import NodePlan, user_data
from pcg.nodes.pki import cluster_secrets

GATEWAY = "g7k2mq9d4x"
SERVICE = Account("svc-pcg@vsphere.local", "a password of its own", privileges=privileges.least())
SECRETS = cluster_secrets(b"s" * 32, GATEWAY, 1)
CLONE_SECONDS = 1.5
LIMITS = {"speedup": 20.0, "most_bytes": 100_000, "clones_ratio": 1.2}


@dataclass
class Counted:
    """Between the driver and the vCenter: bytes that passed, both ways."""

    port: int = 0
    passed: int = 0


@asynccontextmanager
async def relay(vcenter: RunningVcenter) -> AsyncIterator[Counted]:
    host, _, port = vcenter.address.rpartition(":")
    counted = Counted()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                counted.passed += len(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    counted.port = server.sockets[0].getsockname()[1]
    try:
        yield counted
    finally:
        server.close()


class Meter:
    """Seconds, calls and bytes of what is done inside `async with`."""

    def __init__(self, vcenter: RunningVcenter, counted: Counted) -> None:
        self._control, self._counted = vcenter.control, counted

    @asynccontextmanager
    async def measure(self) -> AsyncIterator[dict[str, Any]]:
        result: dict[str, Any] = {}
        await self._ask("/counters/reset", b"{}")
        before, started = self._counted.passed, time.perf_counter()
        yield result
        result["seconds"] = round(time.perf_counter() - started, 4)
        result["bytes"] = self._counted.passed - before
        result["calls"] = sum((await self._ask("/counters")).values())

    async def _ask(self, path: str, body: bytes | None = None) -> Any:
        def call() -> Any:
            with urllib.request.urlopen(self._control + path, data=body, timeout=60) as answer:
                return json.load(answer)

        return await asyncio.to_thread(call)


def configuration_of(address: str) -> Configuration:
    where = {"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}
    return Configuration.model_validate(
        {
            "cloud": "vsphere",
            "vcenter": {"address": address, "username": SERVICE.name},
            "placement": [where],
            "template": {"image": "ubuntu-2204-k8s-1.30"},
            "nodes": {"count": 3, "size": "small"},
            "network": {"controlPlaneAddress": "127.64.0.9"},
        }
    )


async def make(connection: Connection, configuration: Configuration, ordinals: range) -> float:
    """Seconds until all of them are made; the driver is asked for all at once."""
    template = (await connection.ensure_template(configuration)).template
    assert template is not None
    started = time.perf_counter()
    tasks = [await connection.create_machine(GATEWAY, spec_of(configuration, template, item)) for item in ordinals]
    await asyncio.gather(*(finished(connection, task) for task in tasks))
    return time.perf_counter() - started


async def finished(connection: Connection, task: CloudTask) -> None:
    while task.state is TaskState.RUNNING:
        await asyncio.sleep(0.02)
        task = await connection.task(task.id) or task
    assert task.state is TaskState.DONE, task.error


def spec_of(configuration: Configuration, template: str, ordinal: int) -> MachineSpec:
    name = machine_name(GATEWAY, "bench", 1, ordinal)
    join = "127.64.0.9:6443" if ordinal > 1 else None
    plan = NodePlan(name=name, join=join, endpoint="https://console.example.com", ca_pem=SECRETS.ca_certificate)
    return MachineSpec(
        name=name,
        marks=marks_of(GATEWAY, machine_mark(1, ordinal), instance_uuid(GATEWAY, 1, ordinal)),
        placement=configuration.placement[0],
        template=template,
        hardware=CustomSize(cpus=4, memory_gi_b=4, disk_gi_b=60),
        user_data=user_data(plan, configuration, SECRETS),  # most of what a list carries, so as long as real ones
        meta_data=f"instance-id: bench\nlocal-hostname: {name}\n",
    )


def one_by_one(vcenter: RunningVcenter, sample: int) -> tuple[int, int, float]:
    """How many machines there are, how many were read, and seconds: what a plain script does to find its own."""
    host, _, port = vcenter.address.rpartition(":")
    trust = ssl.create_default_context(cafile=str(vcenter.certificate))
    stub = SoapStubAdapter(host=host, port=int(port), version="vim.version.version12", sslContext=trust)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(ADMINISTRATOR.name, ADMINISTRATOR.password, None)
    machines = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True).view
    chosen = machines[:: max(1, len(machines) // sample)] if sample else machines
    started = time.perf_counter()
    ours = []
    for machine in chosen:
        settings = {option.key: option.value for option in machine.config.extraConfig}
        if settings.get("pcg.gateway") == GATEWAY:
            ours.append((machine.name, machine.runtime.powerState, machine.guest.ipAddress))
    seconds = time.perf_counter() - started
    stub.DropConnections()
    return len(machines), len(chosen), seconds


async def measure(strangers: int, sample: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            vcenter_simulator(
                Path(folder),
                accounts=[ADMINISTRATOR, SERVICE],
                strangers=strangers,
                delays={"CloneVM_Task": CLONE_SECONDS},
            ) as vcenter,
            relay(vcenter) as counted,
        ):
            configuration = configuration_of(f"127.0.0.1:{counted.port}")
            login = Login(configuration.vcenter.address, SERVICE.name, SERVICE.password, thumbprint=vcenter.thumbprint)
            meter = Meter(vcenter, counted)
            cloud = cloud_of(CloudKind.VSPHERE)
            async with cloud.connect(login) as connection:
                one = await make(connection, configuration, range(1, 2))
                three = await make(connection, configuration, range(2, 5))
                (extra,) = [m for m in await connection.list_machines(GATEWAY) if m.name.endswith("-4")]
                await finished(connection, await connection.delete_machine(extra))
            # As a gateway that was started again, with its memory and without.
            instances = frozenset(instance_uuid(GATEWAY, 1, ordinal) for ordinal in range(1, 4))
            async with cloud.connect(login) as connection, meter.measure() as again:
                remembered = Remembered(configuration.placement, instances)
                assert len(await connection.list_machines(GATEWAY, remembered)) == 3
            async with cloud.connect(login) as connection:
                async with meter.measure() as first:
                    assert len(await connection.list_machines(GATEWAY)) == 3
                async with meter.measure() as listed:
                    assert len(await connection.list_machines(GATEWAY)) == 3
                async with meter.measure() as preflight:
                    assert all(check.ok for check in await connection.check(configuration))
                async with meter.measure() as offered:
                    assert len(await connection.inventory("spectro-templates")) > 5
            total, read, seconds = await asyncio.to_thread(one_by_one, vcenter, sample)
    reference = seconds * total / read
    speedups = [reference / part["seconds"] for part in (first, again, listed, preflight)]
    return {
        "bench": "vsphere-inventory",
        "machines": total,
        "first_look": first,
        "first_look_by_memory": again,
        "list": listed,
        "preflight": preflight,
        "inventory": offered,
        "reference_seconds": round(reference, 2),
        "reference_sample": read,
        "reference_extrapolated": read < total,
        "speedup": round(min(speedups), 1),
        "speedup_list": round(reference / listed["seconds"], 1),
        "most_bytes": max(part["bytes"] for part in (again, listed, preflight)),
        "one_clone": round(one, 3),
        "three_clones": round(three, 3),
        "clones_ratio": round(three / one, 3),
        "limits": LIMITS,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=10_000, help="of others")
    parser.add_argument("--sample", type=int, default=0, help="machines that the reference reads; 0: all of them")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.machines, arguments.sample))
    print(json.dumps(result))
    good = result["speedup"] >= LIMITS["speedup"] and result["most_bytes"] < LIMITS["most_bytes"]
    sys.exit(not (good and result["clones_ratio"] <= LIMITS["clones_ratio"]))


if __name__ == "__main__":
    main()
