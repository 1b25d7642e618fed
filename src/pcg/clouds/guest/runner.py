"""The machine runner: every powered-on machine of a hypervisor has a running guest, and no other has one.

Level-triggered over `hypervisor.machines()`, woken by its changes. Power-off, delete and reboot stop everything of a
machine at once. What a guest knows lies on its disk below `state`, so a runner that was killed goes on as after a power
cut of the whole data center. Started by the simulated data center and beside the vendor's simulator.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pcg.clock import Clock
from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.guest.cluster import Cluster, Clusters
from pcg.clouds.guest.containers import ContainerRuntime
from pcg.clouds.guest.controllers import run_controllers
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.durations import GuestDurations
from pcg.clouds.guest.environment import HYPERVISOR_RETRY_SECONDS, Environment
from pcg.clouds.guest.guest import Guest
from pcg.clouds.guest.hypervisor import GuestMachine, Hypervisor
from pcg.clouds.guest.node_image import lay_out
from pcg.errors import TryAgain

_log = logging.getLogger(__name__)

WAIT_SECONDS = 300.0
"""for a change, before looking again anyway"""

IDENTITY_FILE = "machine.json"


@dataclass
class _Running:
    boot: int
    task: asyncio.Task[None]


class MachineRunner:
    """`listen` False: no sockets, API servers are reached through `api_servers` (simulated time). A book given there
    outlives the runner: a client made once finds the servers of the next runner too.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        *,
        clock: Clock,
        speed: float = 1.0,
        state: Path,
        containers: ContainerRuntime,
        listen: bool = True,
        durations: GuestDurations | None = None,
        api_servers: ApiServers | None = None,
    ) -> None:
        self.api_servers = api_servers or ApiServers(listen=listen)
        self._hypervisor = hypervisor
        self._clock = clock
        self._folder = state / "machines"
        self._guests: dict[str, _Running] = {}
        self._group = asyncio.TaskGroup()
        self._durations = durations or GuestDurations()
        self._environment = Environment(
            hypervisor=hypervisor,
            clock=clock,
            speed=speed,
            durations=self._durations,
            containers=containers,
            servers=self.api_servers,
            clusters=Clusters(clock, speed, self._control),
        )

    async def run(self) -> NoReturn:
        """Until cancelled; then every guest is off and every process of theirs gone."""
        async with self._group:
            self._group.create_task(self.api_servers.follow(), name="listeners")
            while True:
                try:
                    await self._settle(await self._hypervisor.machines())
                    await self._hypervisor.wait_for_change(WAIT_SECONDS)
                except TryAgain:
                    await self._clock.sleep(HYPERVISOR_RETRY_SECONDS)
        raise AssertionError("a runner runs until it is cancelled")

    async def _settle(self, machines: Sequence[GuestMachine]) -> None:
        present = {machine.id: machine for machine in machines}
        on = {machine.id: machine for machine in machines if machine.powered_on}
        unplugged = [
            running.task
            for machine_id, running in self._guests.items()
            if machine_id not in on or on[machine_id].boot != running.boot
        ]
        for task in unplugged:
            task.cancel()
        if unplugged:
            await asyncio.wait(unplugged)
        self._guests = {key: running for key, running in self._guests.items() if running.task not in unplugged}
        disks = self._disks()
        for machine_id in disks.keys() - present.keys():
            disks[machine_id].destroy()
        for machine in on.values():
            if machine.id not in self._guests:
                self._boot(machine, disks.get(machine.id))

    def _boot(self, machine: GuestMachine, disk: MachineDisk | None) -> None:
        guest = Guest(machine, disk or self._new_disk(machine), self._environment)
        task = self._group.create_task(_alone(guest.run(), machine.name), name=machine.name)
        self._guests[machine.id] = _Running(machine.boot, task)

    def _new_disk(self, machine: GuestMachine) -> MachineDisk:
        """In a folder with the machine's name; two machines may bear one name, in two folders of the cloud."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", machine.name).lstrip(".") or "machine"
        folder = self._folder / name
        if (folder / IDENTITY_FILE).exists():
            folder = self._folder / f"{name}-{re.sub(r'[^A-Za-z0-9_-]', '_', machine.id)}"
        folder.mkdir(parents=True, exist_ok=True)
        identity = folder / f".{IDENTITY_FILE}"
        identity.write_text(json.dumps({"id": machine.id, "instance": machine.instance}))
        identity.replace(folder / IDENTITY_FILE)
        disk = MachineDisk(folder)
        lay_out(disk)
        return disk

    def _disks(self) -> dict[str, MachineDisk]:
        """Those that exist, by the machine's id: also of machines that were deleted while no runner ran."""
        found = {}
        for identity in self._folder.glob(f"*/{IDENTITY_FILE}"):
            with suppress(FileNotFoundError):
                found[json.loads(identity.read_text())["id"]] = MachineDisk(identity.parent)
        return found

    def _control(self, cluster: Cluster) -> None:
        name = f"controllers of {cluster.id}"
        controllers = run_controllers(cluster, self._durations, self.api_servers.surroundings)
        self._group.create_task(_alone(controllers, name), name=name)


async def _alone(life: Coroutine[Any, Any, None], name: str) -> None:
    """One machine that crashes is not the data center: it hangs as it is, until it is switched off."""
    try:
        await life
    except Exception:  # noqa: BLE001
        _log.exception("%s crashed", name)
