"""What a vCenter has to choose from: everything that a placement and a template can name.

Used by `cloud.py`. Two round trips however large the inventory is; no machine is read but those in template folders.
Blocks, and runs in the session's threads.
"""

from __future__ import annotations

from typing import Any

from pcg.clouds.base import Inventory, Offered, OfferedKind
from pcg.clouds.vsphere.inventory import Properties, moid, plain_name, read, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim

GIB = 1024**3
_LEAVES = ("datastores", "networks", "root pool")
_UPLINKS = "SYSTEM/DVS.UPLINKPG"
"""vCenter's tag of a distributed switch's port group for its own uplinks: nothing is ever connected to it"""
_WANTED = [
    (vim.Folder, ["name", "parent"]),
    (vim.Datacenter, ["name", "parent", "vmFolder", "hostFolder", "datastore", "network"]),
    (vim.ComputeResource, ["name", "parent"]),
    (vim.ResourcePool, ["name", "parent"]),
    (vim.Datastore, ["name", "summary.freeSpace", "summary.capacity"]),
    (vim.Network, ["name", "tag"]),
]


def offered(session: VsphereSession, template_folder: str) -> Inventory:
    """Everything that the account may see, sorted by kind and path."""
    found = read(session, [(session.content.rootFolder, _everything(), False)], _WANTED)
    walk = _Walk(found)
    entries: list[Offered] = []
    folders: list[tuple[Any, str]] = []
    for item in found:
        entry = _entry(walk, item)
        if entry is not None:
            entries.append(entry)
            if entry.kind is OfferedKind.FOLDER and _is_named(entry, template_folder):
                folders.append((item["object"], entry.datacenter))
    entries += _templates(session, folders)
    return sorted(entries, key=lambda entry: (list(OfferedKind).index(entry.kind), entry.datacenter, entry.path))


def _everything() -> list[Any]:
    """From the root folder to folders of machines, clusters and their pools, datastores and networks."""
    return [
        traversal("down", vim.Folder, "childEntity", into=["down", "machines", "hosts", *_LEAVES]),
        traversal("machines", vim.Datacenter, "vmFolder", into=["down"]),
        traversal("hosts", vim.Datacenter, "hostFolder", into=["down"]),
        traversal("datastores", vim.Datacenter, "datastore"),
        traversal("networks", vim.Datacenter, "network"),
        traversal("pools", vim.ResourcePool, "resourcePool", into=["pools"]),
        traversal("root pool", vim.ComputeResource, "resourcePool", into=["pools"]),
    ]


class _Walk:
    """Who lies where, by what was read."""

    def __init__(self, found: list[Properties]) -> None:
        self._by_id = {moid(item["object"]): item for item in found}
        self._roots: dict[str, Properties] = {}
        self._holders: dict[str, Properties] = {}
        self._machine_folders: set[str] = set()
        for item in found:
            if isinstance(item["object"], vim.Datacenter):
                self._roots |= {moid(item[root]): item for root in ("vmFolder", "hostFolder") if item.get(root)}
                self._machine_folders |= {moid(item["vmFolder"])} if item.get("vmFolder") else set()
                held = [*(item.get("datastore") or []), *(item.get("network") or [])]
                self._holders |= {moid(reference): item for reference in held}

    def is_root(self, managed_object: Any) -> bool:
        return moid(managed_object) in self._roots

    def holds_machines(self, item: Properties) -> bool:
        """Whether the folder lies below one of machines, and not of hosts."""
        at = item["object"]
        while at is not None and moid(at) in self._by_id and not self.is_root(at):
            at = self._by_id[moid(at)].get("parent")
        return at is not None and moid(at) in self._machine_folders

    def datacenter_of(self, item: Properties) -> str:
        """Its path; empty when it lies in none."""
        holder = self._holders.get(moid(item["object"]))
        at = item.get("parent")
        while holder is None and at is not None and moid(at) in self._by_id:
            holder, at = self._roots.get(moid(at)), self._by_id[moid(at)].get("parent")
        return "/".join(self.names(holder)) if holder else ""

    def names(self, item: Properties, *, above: Any = vim.Folder) -> list[str]:
        """From where names of its kind start: below a datacenter's own folders, or below what is no `above`."""
        names = [_name(item)]
        at = item.get("parent")
        while isinstance(at, above) and not self.is_root(at) and moid(at) in self._by_id:
            parent = self._by_id[moid(at)]
            at = parent.get("parent")
            if at is not None:  # the root folder has a name that nobody writes
                names.append(_name(parent))
        return names[::-1]

    def cluster_of(self, item: Properties) -> str:
        at = item.get("parent")
        while isinstance(at, vim.ResourcePool) and moid(at) in self._by_id:
            at = self._by_id[moid(at)].get("parent")
        cluster = self._by_id.get(moid(at)) if at is not None else None
        return "/".join(self.names(cluster)) if cluster else ""


def _entry(walk: _Walk, item: Properties) -> Offered | None:
    """None for what nobody chooses."""
    thing, name = item["object"], _name(item)
    if isinstance(thing, vim.Datacenter):
        return Offered(OfferedKind.DATACENTER, name, "/".join(walk.names(item)))
    datacenter = walk.datacenter_of(item)
    if isinstance(thing, vim.ResourcePool):
        path = "/".join(walk.names(item, above=vim.ResourcePool))
        return Offered(OfferedKind.RESOURCE_POOL, name, path, datacenter, walk.cluster_of(item))
    if isinstance(thing, vim.ComputeResource):
        return Offered(OfferedKind.CLUSTER, name, "/".join(walk.names(item)), datacenter)
    if isinstance(thing, vim.Datastore):
        free, size = (_gib(item.get(f"summary.{part}")) for part in ("freeSpace", "capacity"))
        return Offered(OfferedKind.DATASTORE, name, name, datacenter, free_gib=free, capacity_gib=size)
    if isinstance(thing, vim.Network):
        uplinks = any(tag.key == _UPLINKS for tag in item.get("tag") or [])
        return None if uplinks else Offered(OfferedKind.NETWORK, name, name, datacenter)
    if isinstance(thing, vim.Folder) and datacenter and not walk.is_root(thing) and walk.holds_machines(item):
        return Offered(OfferedKind.FOLDER, name, "/".join(walk.names(item)), datacenter)
    return None


def _templates(session: VsphereSession, folders: list[tuple[Any, str]]) -> list[Offered]:
    datacenters = {moid(folder): datacenter for folder, datacenter in folders}
    children = traversal("children", vim.Folder, "childEntity")
    found = read(
        session,
        [(folder, [children], True) for folder, _ in folders],
        [(vim.VirtualMachine, ["name", "parent", "config.template"])],
    )
    return [
        Offered(OfferedKind.TEMPLATE, _name(item), _name(item), datacenters.get(moid(item["parent"]), ""))
        for item in found
        if item.get("config.template") and item.get("parent") is not None
    ]


def _is_named(entry: Offered, wanted: str) -> bool:
    path = wanted.strip("/").removeprefix(f"{entry.datacenter}/vm/")
    return entry.path == path or entry.path.endswith("/" + path)


def _name(item: Properties) -> str:
    return plain_name(item.get("name") or moid(item["object"]))


def _gib(size: Any) -> int | None:
    return None if size is None else int(size) // GIB
