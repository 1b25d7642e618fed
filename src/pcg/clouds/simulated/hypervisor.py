"""The data center's machines for the machine runner that lives in the same process."""

from __future__ import annotations

from pcg.clouds.guest.hypervisor import GuestMachine, Lease
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.news import News

_STAGE = "stage"


class SimulatedHypervisor:
    """Implements `pcg.clouds.guest.hypervisor.Hypervisor`."""

    def __init__(self, center: DataCenter) -> None:
        self._center = center
        self._seen = -1
        self._stages = len(center.state.all(_STAGE))

    async def machines(self) -> list[GuestMachine]:
        self._seen = self._center.news.revision(News.POWER)
        return [
            GuestMachine(
                id=machine.id,
                name=machine.name,
                instance=machine.instance,
                powered_on=machine.powered_on,
                boot=machine.boot,
                user_data=machine.user_data,
                meta_data=machine.meta_data,
                mac=machine.mac,
                network=machine.network,
            )
            for machine in self._center.machines
        ]

    async def wait_for_change(self, timeout: float) -> None:
        await self._center.news.wait(News.POWER, self._seen, timeout)

    async def dhcp_discover(self, machine_id: str) -> Lease | None:
        machine = self._center.machines.find(machine_id)
        return None if machine is None else self._center.dhcp.discover(machine.mac)

    async def report_guest(
        self, machine_id: str, *, address: str | None, host_name: str, tools_running: bool, dhcp: bool | None = None
    ) -> None:
        report = {"address": address, "host_name": host_name, "tools": tools_running, "dhcp": dhcp}
        self._center.life.hear(machine_id, report)

    async def record(self, machine_id: str, stage: str, started: float, finished: float) -> None:
        machine = self._center.machines.find(machine_id)
        if machine is not None:
            self._stages += 1
            document = {"kind": f"guest: {stage}", "object": machine.name, "started": started, "finished": finished}
            self._center.state.put(_STAGE, f"{self._stages:06d}", document)


def stage_log(center: DataCenter) -> list[dict[str, object]]:
    """What guests recorded, in order."""
    return [document for _, document in sorted(center.state.all(_STAGE).items())]
