"""The whole data center in this process and on an injected clock: no socket, no child. For tests in simulated time.

async with in_process_lab(folder, clock, containers={"pcg/jet": …}) as lab:
    lab.cloud          # the driver that the gateway uses
    lab.kubernetes     # transports to the clusters' API servers
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from pcg.clock import Clock
from pcg.clouds.guest.api_servers import ApiServers, InProcessTransport
from pcg.clouds.guest.containers import CoroutineContainer, CoroutineContainers
from pcg.clouds.guest.runner import MachineRunner
from pcg.clouds.lab.dhcp import DhcpScope
from pcg.clouds.simulated import faults
from pcg.clouds.simulated.api import Sessions, api_application
from pcg.clouds.simulated.cloud import SimulatedCloud
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.hypervisor import SimulatedHypervisor
from pcg.clouds.simulated.images import IMAGE_FILE, Gate, ImageFetcher, ImageTransport
from pcg.clouds.simulated.state import State

ACCOUNT = "svc-pcg@vsphere.local"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of a data center that lives for one test
SCOPE = DhcpScope("127.64.0.10", "127.64.0.99", gateway="127.64.0.1", server="127.64.0.1")
CONTROL_PLANE_ADDRESS = "127.64.0.9"
IMAGE = f"http://127.64.0.3/{IMAGE_FILE}"


@dataclass(frozen=True)
class InProcessLab:
    center: DataCenter
    cloud: SimulatedCloud
    servers: ApiServers

    def kubernetes(self, *, ca: str, certificate: str) -> httpx.AsyncBaseTransport:
        """To the API servers of this data center's clusters, as a client with that certificate."""
        return InProcessTransport(self.servers, ca=ca, certificate=certificate)


@asynccontextmanager
async def in_process_lab(
    folder: Path, clock: Clock, *, containers: Mapping[str, CoroutineContainer], speed: float = 1.0
) -> AsyncIterator[InProcessLab]:
    """A data center that runs as long as the block; its state in `folder` outlives it. `containers` by image."""
    state = State(folder / "datacenter.db")
    gate = Gate()
    fetcher = ImageFetcher(ImageTransport(gate))
    center = DataCenter(state, clock, account=ACCOUNT, scope=SCOPE, fetcher=fetcher, gate=gate, speed=speed)
    faults.restore(center)
    servers = ApiServers(listen=False, surroundings=center.surroundings)
    runner = MachineRunner(
        SimulatedHypervisor(center),
        clock=clock,
        speed=speed,
        state=folder,
        containers=CoroutineContainers(containers),
        api_servers=servers,
    )
    api = httpx.ASGITransport(api_application(center, Sessions(ACCOUNT, PASSWORD)), raise_app_exceptions=False)
    try:
        async with asyncio.TaskGroup() as group:
            works = [group.create_task(center.run()), group.create_task(runner.run())]
            try:
                yield InProcessLab(center, SimulatedCloud(api), servers)
            finally:
                center.news.close()
                for work in works:
                    work.cancel()
    finally:
        state.close()
