"""What stands in the data center: hosts with capacity, datastores, networks, folders. Names are looked up here.

It is the same in every data center and never changes; machines, leases and permissions do, and live elsewhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from pcg.clouds.simulated.refusals import Refusal

DATACENTER = "dc-1"
CLUSTER = "c-1"
POOL = "Resources"
DATASTORE = "ds-1"
NETWORK = "VM Network"
FOLDERS = ("pcg", "spectro-templates", "others")


@dataclass(frozen=True)
class Host:
    """`memory` in GiB. CPUs are shared out more than once, memory is not."""

    name: str
    memory: int


HOSTS = (Host("host-1", 256), Host("host-2", 256), Host("host-3", 256))
DATASTORE_CAPACITY = 8192
"""GiB"""


@dataclass(frozen=True)
class Place:
    """Where a machine is or shall be, by plain names."""

    folder: str
    pool: str
    datastore: str
    network: str

    @property
    def folder_path(self) -> str:
        return f"/{DATACENTER}/vm/{self.folder}"

    @property
    def pool_path(self) -> str:
        return f"/{DATACENTER}/host/{CLUSTER}/{self.pool}"

    @property
    def datastore_path(self) -> str:
        return f"/{DATACENTER}/datastore/{self.datastore}"

    @property
    def network_path(self) -> str:
        return f"/{DATACENTER}/network/{self.network}"


def find_place(wanted: dict[str, str], network: str = NETWORK) -> Place:
    """From a placement's names or inventory paths; `network` is what the network is called now.

    Raises Refusal `not-found` with what is there instead.
    """
    _one("network", wanted.get("network", ""), (network,))
    _one("datacenter", wanted.get("datacenter", ""), (DATACENTER,))
    _one("cluster", wanted.get("cluster", ""), (CLUSTER,))
    return Place(
        folder=find_folder(wanted.get("folder", "")),
        pool=_one("resource-pool", wanted.get("resourcePool", ""), (POOL,)),
        datastore=_one("datastore", wanted.get("datastore", ""), (DATASTORE,)),
        network=NETWORK,
    )


def find_folder(name: str) -> str:
    return _one("folder", name, FOLDERS)


def template_path(folder: str, name: str) -> str:
    return f"/{DATACENTER}/vm/{folder}/{name}"


def _one(kind: str, name: str, there: Collection[str]) -> str:
    plain = name.rstrip("/").rsplit("/", 1)[-1]
    if plain in there:
        return plain
    near = difflib.get_close_matches(plain, there, n=3, cutoff=0.4)
    fields = {"kind": kind, "name": name, "there": ", ".join(sorted(there)), "near": ", ".join(near)}
    raise Refusal("not-found", f"There is no {kind} {name!r}.", fields)
