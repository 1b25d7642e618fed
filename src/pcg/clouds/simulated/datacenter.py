"""The data center itself: what its API can do, on an injected clock. Start reading here.

A library without a socket: `server.py` puts an API in front of it, `lab.py` runs it in simulated time. Each call
changes the state on disk before it answers; work that takes time becomes a task.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pcg.clock import Clock
from pcg.clouds.guest.surroundings import Surroundings
from pcg.clouds.lab.dhcp import DhcpScope, DhcpServer
from pcg.clouds.simulated import permissions as privilege
from pcg.clouds.simulated.door import Door
from pcg.clouds.simulated.durations import Durations
from pcg.clouds.simulated.events import EventLog
from pcg.clouds.simulated.hosts import Hosts
from pcg.clouds.simulated.images import Gate, ImageFetcher
from pcg.clouds.simulated.inventory import (
    CLUSTER,
    DATACENTER,
    DATASTORE,
    DATASTORE_CAPACITY,
    FOLDERS,
    HOSTS,
    NETWORK,
    POOL,
    Place,
    find_folder,
    find_place,
    template_path,
)
from pcg.clouds.simulated.machine_life import MachineLife
from pcg.clouds.simulated.machines import Machine, Machines
from pcg.clouds.simulated.news import News
from pcg.clouds.simulated.permissions import Permissions
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.requests import AS_IT_IS, MachineRequest, StartRequest, TemplateRequest
from pcg.clouds.simulated.state import State
from pcg.clouds.simulated.tasks import Task, Tasks
from pcg.model.naming import MARK_GATEWAY, MARK_INSTANCE

_TEMPLATE = "template"
_LEASES = "leases"


class DataCenter:
    def __init__(
        self,
        state: State,
        clock: Clock,
        *,
        account: str,
        scope: DhcpScope,
        fetcher: ImageFetcher,
        gate: Gate | None = None,
        speed: float = 1.0,
        durations: Durations | None = None,
    ) -> None:
        self.clock = clock
        self.speed = speed
        self.state = state
        self.gate = gate or Gate()
        self.door = Door()
        self.hosts = Hosts()
        self.network = NETWORK
        """what the network is called now"""
        self.missed = 0
        """how often something was looked for by a name that it no longer has"""
        self.calls: Counter[str] = Counter()
        """of the API, by what was asked"""
        self.machines = Machines(state)
        self.permissions = Permissions(state, account)
        self.events = EventLog(state)
        self.dhcp = DhcpServer(scope, state.get(_LEASES, NETWORK), self._keep_leases)
        self.surroundings = Surroundings()
        self.news = News(int(clock.now().timestamp() * 1000))
        self._fetcher = fetcher
        self._durations = durations or Durations()
        self.tasks = Tasks(
            state,
            clock,
            effects={
                "create": self._create,
                "start": self._start,
                "delete": self._delete,
                "reconfigure": self._reconfigure,
                "import": self._import,
            },
            preparations={"import": self._fetch},
            on_change=lambda task: self.news.changed(task.owner or News.EVERYONE),
        )
        self.life = MachineLife(
            state, clock, self.machines, self.dhcp, self.surroundings, self.news, self.events, self.calls
        )

    async def run(self) -> None:
        """Carries out tasks until cancelled."""
        await self.tasks.run()

    # What a gateway's driver asks.

    def overview(self, wanted: list[dict[str, str]], gateway: str = "") -> list[dict[str, Any]]:
        """For each placement: its place or why there is none; free space and memory, machines of the gateway, free
        leases (beside those that machines of gateways in that folder hold already), and privileges that the account
        lacks."""
        answers: list[dict[str, Any]] = []
        own = [machine for machine in self.machines if gateway and machine.owner == gateway]
        for placement in wanted:
            try:
                place = self._find_place(placement)
            except Refusal as refusal:
                answers.append({"refusal": refusal.document()})
                continue
            ours = [machine for machine in self.machines if machine.folder == place.folder and machine.owner]
            answers.append(
                {
                    "folder": place.folder_path,
                    "network": self.network,
                    "clocks": self.hosts.clocks(),
                    "datastore": {"name": place.datastore, "free": self.machines.free_space(place.datastore)},
                    "hosts": [{"name": name, "free": free} for name, free in self.machines.free_memory().items()],
                    "own": {"there": len(own), "running": sum(machine.powered_on for machine in own)},
                    "leases": {
                        "free": self.dhcp.count_free(),
                        "held": sum(machine.mac in self.dhcp.leases for machine in ours),
                    },
                    "missing": [
                        {"privilege": name, "object": path}
                        for name, path in self._needs(place)
                        if not self.permissions.has(name, path)
                    ],
                }
            )
        return answers

    def inventory(self) -> dict[str, Any]:
        """What there is to choose from."""
        return {
            "datacenter": DATACENTER,
            "cluster": {"name": CLUSTER, "hosts": len(HOSTS)},
            "pool": POOL,
            "folders": list(FOLDERS),
            "datastore": {
                "name": DATASTORE,
                "free": self.machines.free_space(DATASTORE),
                "capacity": DATASTORE_CAPACITY,
            },
            "network": self.network,
            "templates": sorted(self.state.all(_TEMPLATE)),
        }

    def template(self, folder: str, name: str) -> dict[str, Any]:
        """Whether it is there, or the import that is under way, and which privileges are missing to use it."""
        folder = find_folder(folder)
        path = template_path(folder, name)
        found = self.state.get(_TEMPLATE, path)
        needed = [privilege.DEPLOY_TEMPLATE] if found else [privilege.DEPLOY_TEMPLATE, privilege.IMPORT]
        return {
            "template": path if found else None,
            "task": next((self.described(task) for task in self.tasks.running() if task.object == path), None),
            "missing": [{"privilege": name, "object": path} for name in needed if not self.permissions.has(name, path)],
        }

    async def probe_image(self, url: str) -> None:
        await self._fetcher.probe(url)

    def import_template(self, request: TemplateRequest) -> dict[str, Any]:
        """Starts the import, or answers the one that runs."""
        path = template_path(find_folder(request.folder), request.name)
        running = next((task for task in self.tasks.running() if task.object == path), None)
        if running is None:
            self.permissions.demand((privilege.IMPORT, path))
            seconds = self._durations.fetch / self.speed
            running = self.tasks.begin("import", path, "", seconds, {"url": request.url, "sha256": request.sha256})
        return self.described(running)

    def list_machines(self, gateway: str) -> dict[str, Any]:
        """The bulk read: every machine with the gateway's mark."""
        self.calls["bulk-read"] += 1
        cards = self.surroundings.cards_connected
        found = [shown(machine, cards) for machine in self.machines if machine.owner == gateway]
        return {"revision": self.news.revision(gateway), "machines": found}

    def list_tasks(self, gateway: str) -> list[dict[str, Any]]:
        return [self.described(task) for task in self.tasks.running(gateway)]

    def task(self, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is None:
            raise Refusal("gone", f"There is no task {task_id}.", {"object": task_id})
        return self.described(task)

    def create_machine(self, request: MachineRequest) -> dict[str, Any]:
        place = self._find_place(request.placement)
        if self.state.get(_TEMPLATE, request.template) is None:
            raise Refusal("not-found", f"There is no template {request.template}.", {"kind": "template"})
        self.permissions.demand((privilege.DEPLOY_TEMPLATE, request.template), *self._needs(place))
        instance = request.marks.get(MARK_INSTANCE, "")
        self.machines.demand_free(request.name, place.folder, instance)
        if any(task.kind == "create" and task.object == request.name for task in self.tasks.running()):
            fields = {"name": request.name, "folder": place.folder}
            raise Refusal("name-taken", f"A machine {request.name} is being made already.", fields)
        made_now = sum(task.request["disk"] for task in self.tasks.running() if task.kind == "create")
        self.machines.demand_space(request.disk + made_now, place.datastore)
        document = request.model_dump() | {"place": [place.folder, place.pool, place.datastore, place.network]}
        owner = request.marks.get(MARK_GATEWAY, "")
        return self.described(
            self.tasks.begin("create", request.name, owner, self._durations.clone / self.speed, document)
        )

    def start_machine(self, machine_id: str, size: StartRequest = AS_IT_IS) -> dict[str, Any] | None:
        """None when it runs already. Changes nothing twice: a start under way is answered again."""
        machine = self.machines.get(machine_id)
        self.permissions.demand((privilege.POWER_ON, Place(machine.folder, "", "", "").folder_path))
        if machine.powered_on:
            return None
        self.machines.change(machine_id, cpus=size.cpus or machine.cpus, memory=size.memory or machine.memory)
        return self._once("start", machine, self._durations.power_on)

    def clear_user_data(self, machine_id: str, instance: str) -> dict[str, Any] | None:
        """None when there is none; refuses when the machine is not the one that was meant."""
        machine = self._made(machine_id, instance)
        if machine.user_data is None:
            return None
        return self._once("reconfigure", machine, self._durations.reconfigure)

    def delete_machine(self, machine_id: str, instance: str) -> dict[str, Any]:
        """Switches off and destroys; refuses when the machine is not the one that was meant."""
        machine = self._made(machine_id, instance)
        path = Place(machine.folder, "", "", "").folder_path
        self.permissions.demand((privilege.POWER_OFF, path), (privilege.DELETE, path))
        return self._once("delete", machine, self._durations.delete)

    def described(self, task: Task) -> dict[str, Any]:
        return {
            "id": task.id,
            "kind": task.kind,
            "object": task.object,
            "state": task.state,
            "progress": task.progress(self.clock.monotonic()),
            "error": task.error,
        }

    # What tasks do at their end.

    def _create(self, task: Task) -> None:
        request = task.request
        place = Place(*request["place"])
        self.hosts.demand()
        self.machines.demand_free(request["name"], place.folder, request["marks"].get(MARK_INSTANCE, ""))
        instance = request["marks"].get(MARK_INSTANCE) or str(uuid.uuid4())
        size = (request["cpus"], request["memory"], request["disk"])
        made = self.life.new(request["name"], instance, place, size, request["marks"])
        self.life.put(made, user_data=request["user_data"], meta_data=request["meta_data"])

    def _start(self, task: Task) -> None:
        machine = self.machines.get(task.request["machine"])
        if not machine.powered_on:
            self.life.switch(machine, True)

    def _reconfigure(self, task: Task) -> None:
        machine = self.machines.find(task.request["machine"])
        if machine is not None:
            self.machines.change(machine.id, user_data=None)
            self.news.changed(machine.owner)

    def _delete(self, task: Task) -> None:
        machine = self.machines.find(task.request["machine"])
        if machine is not None:
            for file in machine.foreign_disks:
                self.state.put("disk", file, {})
            self.life.remove(machine.id, self.permissions.account)

    async def _fetch(self, task: Task) -> None:
        await self._fetcher.fetch(task.request["url"], task.request["sha256"])

    def _import(self, task: Task) -> None:
        self.state.put(_TEMPLATE, task.object, {"url": task.request["url"]})

    # Inside.

    def _made(self, machine_id: str, instance: str) -> Machine:
        machine = self.machines.get(machine_id)
        if machine.instance != instance or machine.marks.get(MARK_INSTANCE) != instance:
            fields = {"object": machine_id, "instance": machine.instance}
            raise Refusal("wrong-instance", f"{machine.name} is not the machine that was made.", fields)
        return machine

    def _find_place(self, placement: dict[str, str]) -> Place:
        try:
            return find_place(placement, self.network)
        except Refusal:
            self.missed += self.network != NETWORK
            raise

    def _needs(self, place: Place) -> list[tuple[str, str]]:
        in_folder = (privilege.CREATE_FROM_EXISTING, privilege.DELETE, privilege.POWER_ON, privilege.POWER_OFF)
        return [
            *((name, place.folder_path) for name in in_folder),
            (privilege.ASSIGN_POOL, place.pool_path),
            (privilege.ALLOCATE_SPACE, place.datastore_path),
            (privilege.ASSIGN_NETWORK, place.network_path),
        ]

    def _once(self, kind: str, machine: Machine, seconds: float) -> dict[str, Any]:
        for task in self.tasks.running():
            if task.kind == kind and task.request.get("machine") == machine.id:
                return self.described(task)
        if kind == "delete" and machine.powered_on:
            self.life.switch(machine, False)
        begun = self.tasks.begin(kind, machine.name, machine.owner, seconds / self.speed, {"machine": machine.id})
        return self.described(begun)

    def _keep_leases(self, leases: Mapping[str, str]) -> None:
        self.state.put(_LEASES, NETWORK, leases)


def shown(machine: Machine, connected: bool = True) -> dict[str, Any]:
    """`connected`: its network card."""
    return {
        "id": machine.id,
        "name": machine.name,
        "instance": machine.instance,
        "marks": machine.marks,
        "power": "on" if machine.powered_on else "off",
        "address": machine.address,
        "cpus": machine.cpus,
        "memory": machine.memory,
        "created": machine.created,
        "tools": machine.tools,
        "hostName": machine.host_name,
        "dhcp": machine.dhcp,
        "connected": connected,
        "foreignDisks": list(machine.foreign_disks),
        "userData": machine.user_data is not None,
    }
