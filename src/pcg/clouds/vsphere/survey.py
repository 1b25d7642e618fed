"""The objects that a placement names: datacenter, folder, cluster, pool, datastore and network.

Used by whatever needs an object that a person named. A survey reads each part of the inventory once and answers all
names from it, so a preflight of three placements and a template costs the round trips of one. It is made for one look
and then let go, since names change under way. Blocks, and runs in the session's threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pcg.clouds.vsphere.inventory import (
    Candidate,
    Properties,
    candidates_of,
    choose,
    folders_down,
    moid,
    plain_name,
    read,
    traversal,
)
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim
from pcg.model.configuration import Configuration, Placement


@dataclass(frozen=True)
class Place:
    """The objects that one placement names."""

    datacenter: Candidate
    folder: Candidate
    cluster: Candidate
    pool: Candidate
    datastore: Candidate
    network: Candidate


class Survey:
    """Every method raises NotFound with near matches, or InvalidInput for a name that stands for several."""

    def __init__(self, session: VsphereSession) -> None:
        self._session = session
        self._datacenters: list[Candidate] | None = None
        self._trees: dict[str, list[Properties]] = {}
        """folders of machines and clusters, by the datacenter's id"""
        self._parts: dict[str, list[Properties]] = {}
        """pools, datastores and networks, by the cluster's id"""

    def place(self, placement: Placement) -> Place:
        """Three round trips, of which one is for each cluster and one for each datacenter."""
        datacenter = self.datacenter(placement.datacenter)
        folder = self.folder(datacenter, placement.folder, "placement.folder")
        cluster = self._cluster(datacenter, placement.cluster)
        parts = self._parts_of(cluster)
        pools = candidates_of(parts, vim.ResourcePool, below=cluster.object)
        return Place(
            datacenter=datacenter,
            folder=folder,
            cluster=cluster,
            pool=choose("resource pool", "placement.resourcePool", placement.resource_pool, pools),
            datastore=choose("datastore", "placement.datastore", placement.datastore, _flat(parts, vim.Datastore)),
            network=choose("network", "placement.network", placement.network, _flat(parts, vim.Network)),
        )

    def datacenter(self, name: str) -> Candidate:
        if self._datacenters is None:
            root = self._session.content.rootFolder
            found = read(
                self._session,
                [(root, [folders_down()], False)],
                [
                    (vim.Folder, ["name", "parent"]),
                    (vim.Datacenter, ["name", "parent", "vmFolder", "hostFolder"]),
                ],
            )
            self._datacenters = candidates_of(found, vim.Datacenter, below=root)
        return choose("datacenter", "placement.datacenter", name, self._datacenters)

    def template_folder(self, configuration: Configuration) -> tuple[Candidate, Candidate]:
        """The datacenter of the first placement, and in it the folder of the template."""
        datacenter = self.datacenter(configuration.placement[0].datacenter)
        return datacenter, self.folder(datacenter, configuration.template.folder, "template.folder")

    def folder(self, datacenter: Candidate, name: str, field: str) -> Candidate:
        """One of machines; `field` is of the configuration."""
        root = datacenter.properties.get("vmFolder")
        known = candidates_of(self._tree_of(datacenter), vim.Folder, below=root)
        return choose("folder", field, folder_in(datacenter, name), known)

    def _cluster(self, datacenter: Candidate, name: str) -> Candidate:
        root = datacenter.properties.get("hostFolder")
        known = candidates_of(self._tree_of(datacenter), vim.ComputeResource, below=root)
        return choose("cluster", "placement.cluster", name, known)

    def _tree_of(self, datacenter: Candidate) -> list[Properties]:
        key = moid(datacenter.object)
        if key not in self._trees:
            roots = [datacenter.properties.get(root) for root in ("vmFolder", "hostFolder")]
            self._trees[key] = read(
                self._session,
                [(root, [folders_down()], False) for root in roots if root is not None],
                [(vim.Folder, ["name", "parent"]), (vim.ComputeResource, ["name", "parent"])],
            )
        return self._trees[key]

    def _parts_of(self, cluster: Candidate) -> list[Properties]:
        key = moid(cluster.object)
        if key not in self._parts:
            pools = traversal("pools", vim.ResourcePool, "resourcePool", into=["pools"])
            steps = [
                traversal("root pool", vim.ComputeResource, "resourcePool", into=[pools]),
                traversal("datastores", vim.ComputeResource, "datastore"),
                traversal("networks", vim.ComputeResource, "network"),
            ]
            self._parts[key] = read(
                self._session,
                [(cluster.object, steps, True)],
                [(vim.ResourcePool, ["name", "parent"]), (vim.Datastore, ["name"]), (vim.Network, ["name"])],
            )
        return self._parts[key]


def folder_in(datacenter: Candidate, name: str) -> str:
    """A folder's path below the datacenter's folder of machines, however a person wrote it."""
    return name.strip("/").removeprefix(f"{datacenter.path}/vm/")


def _flat(parts: list[Properties], kind: Any) -> list[Candidate]:
    return [
        Candidate(plain_name(item.get("name", moid(item["object"]))), item["object"], item)
        for item in parts
        if isinstance(item["object"], kind)
    ]
