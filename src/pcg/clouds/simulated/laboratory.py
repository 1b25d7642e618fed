"""What the lab may do to this data center and ask of it: `pcg.clouds.lab.control.Laboratory`."""

from __future__ import annotations

from typing import Any

from pcg.clouds.simulated import faults
from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.hypervisor import stage_log
from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import NotFound


class SimulatedLaboratory:
    def __init__(self, center: DataCenter) -> None:
        self._center = center

    async def faults(self) -> dict[str, dict[str, Any]]:
        return faults.described(self._center)

    async def switch(self, fault: str, *, on: bool) -> None:
        faults.switch(self._center, fault, on=on)

    async def task_log(self) -> list[dict[str, Any]]:
        tasks = [
            {"kind": task.kind, "object": task.object, "started": task.started, "finished": task.finished}
            for task in self._center.tasks.log()
        ]
        return [*tasks, *stage_log(self._center)]

    async def counters(self) -> dict[str, int]:
        return dict(self._center.calls)

    async def reset_counters(self) -> None:
        self._center.calls.clear()

    async def machines(self) -> list[dict[str, Any]]:
        return [
            {
                "id": machine.id,
                "name": machine.name,
                "instance": machine.instance,
                "marks": machine.marks,
                "power": "on" if machine.powered_on else "off",
                "address": machine.address,
            }
            for machine in self._center.machines
        ]

    async def add_stranger(self, name: str) -> str:
        return self._center.life.add_stranger(name).id

    async def copy(self, machine_id: str) -> str:
        self._known(machine_id)
        return self._center.life.copy(machine_id).id

    async def power_off(self, machine_id: str) -> None:
        self._known(machine_id)
        self._center.life.power_off(machine_id)

    async def reconfigure(self, machine_id: str, cpus: int, memory: int) -> None:
        self._known(machine_id)
        self._center.life.reconfigure(machine_id, cpus, memory)

    async def remove(self, machine_id: str) -> None:
        self._known(machine_id)
        self._center.life.remove(machine_id)

    async def touch(self) -> None:
        self._center.life.touch()

    def _known(self, machine_id: str) -> None:
        try:
            self._center.machines.get(machine_id)
        except Refusal as refusal:
            raise NotFound(refusal.message, reason="machine-unknown") from refusal
