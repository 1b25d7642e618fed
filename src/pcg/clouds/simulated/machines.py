"""The data center's virtual machines: what each is, kept on disk, and the rules of names, instances and capacity."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pcg.clouds.simulated.inventory import DATASTORE_CAPACITY, HOSTS
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.state import State
from pcg.model.naming import MARK_GATEWAY

_KIND = "machine"
NEXT_TO_NOTHING = 20
"""GiB; no machine's disk is smaller"""


@dataclass(frozen=True)
class Machine:
    """`memory` and `disk` in GiB; `created` in seconds since the epoch."""

    id: str
    name: str
    instance: str
    folder: str
    pool: str
    datastore: str
    network: str
    mac: str
    cpus: int
    memory: int
    disk: int
    created: float
    marks: dict[str, str] = field(default_factory=dict)
    user_data: str | None = field(default=None, repr=False)
    meta_data: str | None = field(default=None, repr=False)
    powered_on: bool = False
    boot: int = 0
    """rises with every power-on"""
    host: str = ""
    """on which it runs"""
    address: str | None = None
    host_name: str = ""
    tools: bool = False
    """whether its guest agent reports"""
    dhcp: bool | None = None
    """whether its card asks for a lease, as the agent tells it"""
    foreign_disks: tuple[str, ...] = ()
    """files of disks that were attached later by somebody"""

    @property
    def owner(self) -> str:
        """The gateway that its mark names, or empty."""
        return self.marks.get(MARK_GATEWAY, "")


class Machines:
    def __init__(self, state: State) -> None:
        self.short = 0
        """how often a datastore was looked at that has next to no room"""
        self._state = state
        self._machines = {key: _read(document) for key, document in state.all(_KIND).items()}

    def __iter__(self) -> Iterator[Machine]:
        return iter(sorted(self._machines.values(), key=lambda machine: (machine.created, machine.id)))

    def get(self, machine_id: str) -> Machine:
        """Raises Refusal `gone`."""
        machine = self._machines.get(machine_id)
        if machine is None:
            raise Refusal("gone", f"There is no machine {machine_id}.", {"object": machine_id})
        return machine

    def find(self, machine_id: str) -> Machine | None:
        return self._machines.get(machine_id)

    def put(self, machine: Machine) -> Machine:
        self._state.put(_KIND, machine.id, asdict(machine))
        self._machines[machine.id] = machine
        return machine

    def change(self, machine_id: str, **changes: Any) -> Machine:
        return self.put(replace(self.get(machine_id), **changes))

    def remove(self, machine_id: str) -> None:
        self._state.remove(_KIND, machine_id)
        self._machines.pop(machine_id, None)

    def demand_free(self, name: str, folder: str, instance: str) -> None:
        """Raises Refusal `name-taken` or `instance-exists`."""
        for machine in self._machines.values():
            if machine.instance == instance:
                fields = {"name": name, "object": machine.id, "instance": instance}
                raise Refusal("instance-exists", f"A machine with the instance id of {name} exists already.", fields)
            if (machine.name, machine.folder) == (name, folder):
                fields = {"name": name, "object": machine.id, "folder": folder}
                raise Refusal("name-taken", f"The name {name} is taken in the folder {folder}.", fields)

    def demand_space(self, disk: int, datastore: str) -> None:
        free = self.free_space(datastore)
        if disk > free:
            raise _not_enough("datastore-space", datastore, f"{disk} GiB", f"{free} GiB")

    def free_space(self, datastore: str) -> int:
        """GiB."""
        free = DATASTORE_CAPACITY - sum(item.disk for item in self._machines.values() if item.datastore == datastore)
        self.short += free < NEXT_TO_NOTHING
        return free

    def free_memory(self) -> dict[str, int]:
        """GiB by host."""
        free = {host.name: host.memory for host in HOSTS}
        for machine in self._machines.values():
            if machine.powered_on and machine.host in free:
                free[machine.host] -= machine.memory
        return free

    def host_for(self, machine: Machine) -> str:
        """The one with most free memory. Raises Refusal `not-enough`."""
        free = self.free_memory()
        best = max(free, key=lambda name: free[name])
        if free[best] < machine.memory:
            raise _not_enough("memory", "every host", f"{machine.memory} GiB", f"{free[best]} GiB")
        return best


def new_id() -> str:
    return f"vm-{uuid.uuid4().hex[:12]}"


def new_mac() -> str:
    """Of VMware's range for addresses given by a person, so that none of a real card is met."""
    return "00:50:56:" + ":".join(f"{random.randrange(0, 64 if place == 0 else 256):02x}" for place in range(3))


def _not_enough(resource: str, where: str, needed: str, free: str) -> Refusal:
    fields = {"resource": resource, "where": where, "needed": needed, "free": free}
    return Refusal("not-enough", f"{where} has {free} of {resource} free; {needed} are needed.", fields)


def _read(document: dict[str, Any]) -> Machine:
    return Machine(**{**document, "foreign_disks": tuple(document["foreign_disks"])})
