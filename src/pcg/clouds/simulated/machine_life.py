"""What happens to machines, whoever causes it: made, switched, heard of, changed, removed; with leases, news and log.

Used by `datacenter.py` for the work of tasks, and directly by the lab for what people beside us do in the vendor's
client. No privilege is asked for here: that is the API's matter.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pcg.clock import Clock
from pcg.clouds.guest.surroundings import Surroundings
from pcg.clouds.lab.dhcp import DhcpServer
from pcg.clouds.simulated.events import ADMINISTRATOR, EventLog
from pcg.clouds.simulated.inventory import DATASTORE, NETWORK, POOL, Place
from pcg.clouds.simulated.machines import Machine, Machines, new_id, new_mac
from pcg.clouds.simulated.news import News
from pcg.clouds.simulated.state import State

STRANGERS = ("stranger-web-1", "stranger-web-2", "stranger-database")
"""machines of other people that were there before"""


class MachineLife:
    def __init__(
        self,
        state: State,
        clock: Clock,
        machines: Machines,
        dhcp: DhcpServer,
        surroundings: Surroundings,
        news: News,
        events: EventLog,
        calls: Counter[str],
    ) -> None:
        """`calls` counts what was done by hand."""
        self.machines = machines
        self.dhcp = dhcp
        self.surroundings = surroundings
        self.news = news
        self.events = events
        self._state = state
        self._clock = clock
        self._calls = calls
        self._unheard: dict[str, dict[str, Any]] = {}
        """what guests would report if their agents ran, by machine"""
        if state.get("made", "strangers") is None:
            self._make_strangers()

    def add_stranger(self, name: str, *, powered_on: bool = False) -> Machine:
        place = Place("pcg" if name.startswith("pcg-") else "others", POOL, DATASTORE, NETWORK)
        made = self.new(name, str(uuid.uuid4()), place, (2, 4, 20), {})
        return self.switch(made, powered_on) if powered_on else self.put(made)

    def copy(self, machine_id: str) -> Machine:
        """As a person clones: the settings come along, identity does not."""
        source = self.machines.get(machine_id)
        place = Place(source.folder, source.pool, source.datastore, source.network)
        size = (source.cpus, source.memory, source.disk)
        name = f"copy-of-{source.name}"
        made = self.new(name, str(uuid.uuid4()), place, size, source.marks)
        self._log("copied", made)
        return self.put(made, user_data=source.user_data, meta_data=source.meta_data)

    def hear(self, machine_id: str, report: Mapping[str, Any]) -> None:
        """What a guest's agent reports. A machine that was switched off or removed meanwhile reports nothing any more,
        and one whose agent does not run only once it does."""
        if not self.surroundings.well("agents_run"):
            self._unheard[machine_id] = dict(report)
            return
        machine = self.machines.find(machine_id)
        if machine is None or not machine.powered_on:
            return
        if any(getattr(machine, name) != value for name, value in report.items()):
            self.machines.change(machine_id, **report)
            self.news.changed(machine.owner)

    def start_agents(self) -> None:
        """They report what they know."""
        self.surroundings.change(agents_run=True)
        unheard, self._unheard = self._unheard, {}
        for machine_id, report in unheard.items():
            self.hear(machine_id, report)

    def restart_machines(self) -> None:
        """Every machine of a gateway that runs boots anew, as after the reset button."""
        for machine in [machine for machine in self.machines if machine.owner and machine.powered_on]:
            self.switch(machine, True)

    def power_off(self, machine_id: str) -> None:
        machine = self.machines.get(machine_id)
        self._log("powered-off", machine)
        self.switch(machine, False)

    def reconfigure(self, machine_id: str, cpus: int, memory: int) -> None:
        """At once; `memory` in GiB."""
        machine = self.machines.change(machine_id, cpus=cpus, memory=memory)
        self._log("reconfigured", machine)
        self.news.changed(machine.owner)

    def remove(self, machine_id: str, user: str = ADMINISTRATOR) -> None:
        """At once, without a task; its lease ends with it."""
        machine = self.machines.get(machine_id)
        with self._state.transaction():
            self._log("removed", machine, user)
            self.machines.remove(machine_id)
            self.dhcp.release([machine.mac])
        self.news.changed(machine.owner)
        self.news.changed(News.POWER)

    def touch(self) -> None:
        """News about nothing."""
        for owner in {machine.owner for machine in self.machines}:
            self.news.changed(owner)

    def attach_disk(self, machine_id: str, file: str) -> None:
        """Of somebody else."""
        machine = self.machines.get(machine_id)
        self.machines.change(machine_id, foreign_disks=(*machine.foreign_disks, file))
        self.news.changed(machine.owner)

    @property
    def loose_disks(self) -> list[str]:
        """Files of disks whose machine was destroyed without them."""
        return sorted(self._state.all("disk"))

    def new(self, name: str, instance: str, place: Place, size: tuple[int, int, int], marks: dict[str, str]) -> Machine:
        """Not yet anywhere (`put`); `size`: CPUs, GiB of memory and of disk."""
        cpus, memory, disk = size
        return Machine(
            id=new_id(),
            name=name,
            instance=instance,
            folder=place.folder,
            pool=place.pool,
            datastore=place.datastore,
            network=place.network,
            mac=new_mac(),
            created=self._clock.now().timestamp() + random.random() / 1000,
            cpus=cpus,
            memory=memory,
            disk=disk,
            marks=dict(marks),
        )

    def put(self, machine: Machine, **changes: Any) -> Machine:
        """Into the inventory, where everybody hears of it."""
        self.machines.put(machine)
        if changes:
            machine = self.machines.change(machine.id, **changes)
        self.news.changed(machine.owner)
        self.news.changed(News.POWER)
        return machine

    def switch(self, machine: Machine, on: bool) -> Machine:
        """On is a boot, also of one that runs. Raises Refusal `not-enough` when no host has room."""
        self.machines.put(machine)
        host = self.machines.host_for(machine) if on else ""
        boot = machine.boot + (1 if on else 0)
        changes = {"powered_on": on, "boot": boot, "host": host, "address": None, "tools": False, "dhcp": None}
        self._unheard.pop(machine.id, None)
        changed = self.machines.change(machine.id, **changes)
        self.news.changed(machine.owner)
        self.news.changed(News.POWER)
        return changed

    def _make_strangers(self) -> None:
        with self._state.transaction():
            for number, name in enumerate(STRANGERS):
                self.add_stranger(name, powered_on=number == 0)
            self._state.put("made", "strangers", {})

    def _log(self, kind: str, machine: Machine, user: str = ADMINISTRATOR) -> None:
        self._calls[f"{kind} by hand"] += user == ADMINISTRATOR
        self.events.write(self._clock.now().timestamp(), kind, user, machine)
