"""Whether hosts, pools and datastores have room for the nodes, before anything is made.

Used by `cloud.py` in preflight. Everything is one bulk read, whatever the number of machines in the vCenter, and one
more for the hosts' clocks (`host_time.py`). Machines of ours that are there already do not need their room again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pcg.clouds.base import Check, ObservedMachine
from pcg.clouds.missing_room import machines_of, missing_room
from pcg.clouds.vsphere import host_ports, host_time, licences
from pcg.clouds.vsphere.inventory import Candidate, Properties, moid, plain_name, read, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place
from pcg.clouds.vsphere.vmomi import vim
from pcg.errors import NotFound, PermissionMissing, ResourcesMissing
from pcg.model.configuration import Configuration, CustomSize

GIB = 1024**3
HOST_PATHS = [
    "name",
    "parent",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "summary.hardware.numCpuThreads",
    "summary.hardware.memorySize",
    "summary.quickStats.overallMemoryUsage",
]
POOL_PATHS = [
    "name",
    "parent",
    "config.cpuAllocation.limit",
    "config.memoryAllocation.limit",
    "runtime.cpu.overallUsage",
    "runtime.memory.overallUsage",
]
DATASTORE_PATHS = ["name", "summary.freeSpace", "summary.accessible", "summary.maintenanceMode", "host"]
MACHINE_PATHS = ["runtime.host", "runtime.powerState", "resourcePool", "datastore"]
POOL_MHZ = 500
"""of a limited pool for each virtual CPU; with less, etcd misses its heartbeats (its documentation: hardware)"""


@dataclass(frozen=True)
class Domain:
    """One placement: what its checks are called, the objects that it names, and how many nodes it shall get."""

    suffix: str
    place: Place
    nodes: int
    spare: bool = False
    """one more is made there for a while, to take another's place"""


@dataclass
class Stock:
    """What one bulk read told, by managed object id."""

    items: dict[str, Properties] = field(default_factory=dict)
    own: list[Properties] = field(default_factory=list)
    """machines of this gateway"""

    def hosts(self, cluster: Candidate) -> list[Properties]:
        """Those that were in it just now."""
        within = moid(cluster.object)
        hosts = [item for item in self.items.values() if isinstance(item["object"], vim.HostSystem)]
        return [host for host in hosts if host.get("parent") is None or moid(host["parent"]) == within]

    def has(self, kind: str, among: Sequence[str], *, running: bool = False) -> int:
        """How many machines of ours are there already: on those hosts, in those pools, on those datastores."""
        found = 0
        for machine in self.own:
            value = machine.get(kind)
            references = value if isinstance(value, list) else [value] if value is not None else []
            on = str(machine.get("runtime.powerState")) == "poweredOn"
            found += (on or not running) and any(moid(reference) in among for reference in references)
        return found


async def check(
    session: VsphereSession,
    configuration: Configuration,
    domains: Sequence[Domain],
    own: Sequence[ObservedMachine],
    *,
    importing: bool,
) -> list[Check]:
    """One check for each fact; `importing`: the template still has to be brought, which goes to the hosts directly."""
    if not domains:
        return []
    try:
        stock = await session.run(_stock, session, domains, own)
    except NotFound:  # one of our machines went away meanwhile
        stock = await session.run(_stock, session, domains, ())
    size = configuration.nodes.hardware
    checks = licences.check(stock.items.get(moid(session.content.licenseManager)))
    for group in _grouped(domains, "cluster"):
        checks += _hosts_of(stock, group, size)
    for group in _grouped(domains, "pool"):
        checks += _pool(stock, group, size)
    for group in _grouped(domains, "datastore"):
        checks.append(_datastore(stock, group, size))
    usable = {moid(host["object"]): host for domain in domains for host in _usable(stock.hosts(domain.place.cluster))}
    checks += await host_time.check(session, list(usable.values()))
    if importing:
        first = _usable(stock.hosts(domains[0].place.cluster))
        checks += await host_ports.check([plain_name(host["name"]) for host in first])
    return checks


def why_unusable(host: Properties) -> str:
    """Empty for a host that can run machines."""
    if str(host.get("runtime.connectionState")) != "connected":
        return {"notResponding": "does not respond"}.get(str(host.get("runtime.connectionState")), "is disconnected")
    return "is in maintenance mode" if host.get("runtime.inMaintenanceMode") else ""


def _stock(session: VsphereSession, domains: Sequence[Domain], own: Sequence[ObservedMachine]) -> Stock:
    """One round trip. Blocks."""
    starts: dict[str, tuple[Any, list[Any], bool]] = {}
    for domain in domains:
        place = domain.place
        into_hosts = [traversal("hosts", vim.ComputeResource, "host")]
        up = [traversal("pools up", vim.ResourcePool, "parent", into=["pools up"])]
        starts[moid(place.cluster.object)] = (place.cluster.object, into_hosts, True)
        starts[moid(place.pool.object)] = (place.pool.object, up, False)
        starts[moid(place.datastore.object)] = (place.datastore.object, [], False)
    for machine in own:
        starts[machine.id] = (vim.VirtualMachine(machine.id, session.stub), [], False)
    starts["licences"] = (session.content.licenseManager, [], False)
    wanted = [
        (vim.HostSystem, HOST_PATHS),
        (vim.ResourcePool, POOL_PATHS),
        (vim.Datastore, DATASTORE_PATHS),
        (vim.VirtualMachine, MACHINE_PATHS),
        (vim.LicenseManager, licences.PATHS),
    ]
    stock = Stock()
    for item in read(session, list(starts.values()), wanted):
        if isinstance(item["object"], vim.VirtualMachine):
            stock.own.append(item)
        else:
            stock.items[moid(item["object"])] = item
    return stock


def _grouped(domains: Sequence[Domain], part: str) -> list[list[Domain]]:
    """Domains that share an object share its room."""
    groups: dict[str, list[Domain]] = {}
    for domain in domains:
        groups.setdefault(moid(getattr(domain.place, part).object), []).append(domain)
    return list(groups.values())


def _usable(hosts: Sequence[Properties]) -> list[Properties]:
    return [host for host in hosts if "name" in host and not why_unusable(host)]


def _hosts_of(stock: Stock, group: list[Domain], size: CustomSize) -> list[Check]:
    cluster, suffix, nodes = group[0].place.cluster, group[0].suffix, machines_of(group)
    hosts = stock.hosts(cluster)
    if not hosts or any("runtime.connectionState" in host["hidden"] for host in hosts):
        problem = PermissionMissing(
            f"The hosts of {cluster.path} cannot be seen: their CPU, memory and clocks are not known.",
            reason="hosts-hidden",
            remedy=[f"Let the account's role on {cluster.path} propagate to its hosts (it needs System.Read there)."],
            fields={"privilege": "System.Read", "object": cluster.path, "object-type": "HostSystem"},
        )
        return [Check(f"hosts{suffix}", None, problem.what, problem)]
    usable = _usable(hosts)
    out = [f"{plain_name(host['name'])} {why_unusable(host)}" for host in hosts if why_unusable(host)]
    if not usable:
        what = f"No host of {cluster.path} can run machines now."
        return [missing_room(f"hosts{suffix}", "hosts", cluster.path, 1, 0, "", out, what)]
    checks = [Check(f"hosts{suffix}", True, "; ".join([f"{len(usable)} of {len(hosts)} hosts are usable", *out]))]
    names = [moid(host["object"]) for host in hosts]
    there, running = stock.has("runtime.host", names), stock.has("runtime.host", names, running=True)
    checks.append(_cpu(f"cpu{suffix}", cluster, usable, size if nodes > there else None, out))
    checks.append(_memory(f"memory{suffix}", cluster, usable, size, max(0, nodes - running), out))
    return checks


def _cpu(name: str, cluster: Candidate, usable: list[Properties], size: CustomSize | None, out: list[str]) -> Check:
    """CPUs are shared, but no machine can be powered on with more of them than its host has threads."""
    most = max(int(host.get("summary.hardware.numCpuThreads") or 0) for host in usable)
    if size is not None and size.cpus > most:
        return missing_room(name, "cpu", f"the largest host of {cluster.path}", size.cpus, most, "CPUs", out)
    return Check(name, True, f"the largest host of {cluster.path} has {most} CPU threads")


def _memory(
    name: str, cluster: Candidate, usable: list[Properties], size: CustomSize, nodes: int, out: list[str]
) -> Check:
    """A node runs on one host, so what counts is how many fit on each."""
    free = [_free_memory(host) for host in usable]
    total, fitting = sum(free) // GIB, sum(item // (size.memory_gi_b * GIB) for item in free)
    if fitting < nodes:
        each = [f"{plain_name(host['name'])}: {item // GIB} GiB free" for host, item in zip(usable, free, strict=True)]
        needed = nodes * size.memory_gi_b
        evidence = [f"of {nodes} nodes of {size.memory_gi_b} GiB {fitting} fit, each on one host", *each[:16], *out]
        return missing_room(name, "memory", f"the hosts of {cluster.path}", needed, total, "GiB", evidence)
    return Check(name, True, f"{total} GiB of memory are free on the hosts of {cluster.path}")


def _free_memory(host: Properties) -> int:
    used = int(host.get("summary.quickStats.overallMemoryUsage") or 0) * 1024 * 1024
    return max(0, int(host.get("summary.hardware.memorySize") or 0) - used)


def _pool(stock: Stock, group: list[Domain], size: CustomSize) -> list[Check]:
    """The limits of the pool and of those above it; the root pool is the cluster itself."""
    pool, suffix, nodes = group[0].place.pool, group[0].suffix, machines_of(group)
    nodes = max(0, nodes - stock.has("resourcePool", [moid(pool.object)], running=True))
    checks: list[Check] = []
    at = stock.items.get(moid(pool.object))
    while at is not None and isinstance(at.get("parent"), vim.ResourcePool):
        where = f"the resource pool {plain_name(at['name'])}"
        needs = (
            ("memory", "GiB", nodes * size.memory_gi_b, _left(at, "memory", 1024, 1024 * 1024)),
            ("cpu", "MHz", nodes * size.cpus * POOL_MHZ, _left(at, "cpu", 1, 1)),
        )
        for resource, unit, needed, free in needs:
            if free is not None and free < needed:
                checks.append(missing_room(f"pool's {resource}{suffix}", resource, where, needed, free, unit, []))
        at = stock.items.get(moid(at["parent"]))
    return checks or [Check(f"pool{suffix}", True, f"the limits of {pool.path} leave room")]


def _left(pool: Properties, resource: str, limit_to_unit: int, usage_to_limit: int) -> int | None:
    """What a pool's limit leaves; None: no limit. Limits are in MB and MHz, usage in bytes and MHz."""
    limit = pool.get(f"config.{resource}Allocation.limit")
    if limit is None or limit < 0:
        return None
    used = int(pool.get(f"runtime.{resource}.overallUsage") or 0) // usage_to_limit
    return max(0, int(limit) - used) // limit_to_unit


def _datastore(stock: Stock, group: list[Domain], size: CustomSize) -> Check:
    place, suffix, nodes = group[0].place, group[0].suffix, machines_of(group)
    name, where = f"datastore{suffix}", place.datastore.path
    item = stock.items.get(moid(place.datastore.object), {"hidden": {}})
    if item.get("summary.freeSpace") is None:
        problem = PermissionMissing(
            f"The free space of {where} cannot be seen.",
            reason="datastore-hidden",
            remedy=[f"Give the account a role on {where}."],
            fields={"privilege": "System.Read", "object": where, "object-type": "Datastore"},
        )
        return Check(name, None, problem.what, problem)
    maintenance = str(item.get("summary.maintenanceMode") or "normal")
    hosts = {moid(host["object"]) for domain in group for host in _usable(stock.hosts(domain.place.cluster))}
    mounts = [mount for mount in item.get("host") or [] if moid(mount.key) in hosts]
    reached = [mount for mount in mounts if mount.mountInfo.accessible is not False]
    if maintenance != "normal" or not item.get("summary.accessible") or (mounts and not reached):
        state = "in maintenance" if maintenance != "normal" else "not accessible from any usable host"
        return _unusable(name, where, state)
    needed = max(0, nodes - stock.has("datastore", [moid(place.datastore.object)])) * size.disk_gi_b
    free = int(item["summary.freeSpace"]) // GIB
    if free < needed:
        evidence = [f"{needed // size.disk_gi_b} nodes of {size.disk_gi_b} GiB"]
        return missing_room(name, "datastore-space", where, needed, free, "GiB", evidence)
    return Check(name, True, f"{free} GiB are free on {where}")


def _unusable(name: str, where: str, state: str) -> Check:
    problem = ResourcesMissing(
        f"The datastore {where} is {state}.",
        reason="datastore-in-maintenance" if state == "in maintenance" else "datastore-inaccessible",
        remedy=["Mend it in vCenter, or choose another datastore."],
        fields={"resource": "datastore-space", "where": where, "needed": "", "free": "", "state": state},
    )
    return Check(name, False, problem.what, problem)
