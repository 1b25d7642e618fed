"""What every simulated guest stands in: the hypervisor below it, the clock, the network and the clusters around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pcg.clock import Clock
from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.guest.cluster import Clusters
from pcg.clouds.guest.containers import ContainerRuntime
from pcg.clouds.guest.durations import GuestDurations
from pcg.clouds.guest.hypervisor import Hypervisor, Lease
from pcg.errors import TryAgain

HYPERVISOR_RETRY_SECONDS = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Environment:
    """Made by the runner; one for all guests. `speed` divides every duration."""

    hypervisor: Hypervisor
    clock: Clock
    speed: float
    durations: GuestDurations
    containers: ContainerRuntime
    servers: ApiServers
    clusters: Clusters

    async def take(self, seconds: float) -> None:
        """Let so much of the guest's time pass."""
        if seconds > 0:
            await self.clock.sleep(seconds / self.speed)

    async def record(self, machine_id: str, stage: str, started: float) -> None:
        """A stage that has just ended, into the cloud's task log."""
        finished = self.clock.monotonic()
        await self._insist(lambda: self.hypervisor.record(machine_id, stage, started, finished))

    async def report(self, machine_id: str, address: str | None, host_name: str, dhcp: bool | None) -> None:
        """What the guest agent tells the hypervisor while it runs."""
        await self._insist(
            lambda: self.hypervisor.report_guest(
                machine_id, address=address, host_name=host_name, tools_running=True, dhcp=dhcp
            )
        )

    async def discover(self, machine_id: str) -> Lease | None:
        return await self._insist(lambda: self.hypervisor.dhcp_discover(machine_id))

    async def _insist(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """A hypervisor that is away comes back: the guest neither knows nor fails."""
        while True:
            try:
                return await call()
            except TryAgain:
                await self.clock.sleep(HYPERVISOR_RETRY_SECONDS)
