"""What the data center has to choose from, in the contract's words. Called by `cloud.py`."""

from __future__ import annotations

from typing import Any

from pcg.clouds.base import Inventory, Offered, OfferedKind


def offered(told: dict[str, Any], template_folder: str) -> Inventory:
    datacenter, cluster, datastore = str(told["datacenter"]), str(told["cluster"]["name"]), told["datastore"]
    folder = f"/{datacenter}/vm/{template_folder.strip('/').rsplit('/', 1)[-1]}/"
    templates = [str(path).removeprefix(folder) for path in told["templates"] if str(path).startswith(folder)]
    return [
        Offered(OfferedKind.DATACENTER, datacenter, datacenter),
        Offered(OfferedKind.CLUSTER, cluster, cluster, datacenter),
        Offered(OfferedKind.RESOURCE_POOL, told["pool"], told["pool"], datacenter, cluster),
        *(Offered(OfferedKind.FOLDER, name, name, datacenter) for name in told["folders"]),
        Offered(
            OfferedKind.DATASTORE,
            datastore["name"],
            datastore["name"],
            datacenter,
            free_gib=datastore["free"],
            capacity_gib=datastore["capacity"],
        ),
        Offered(OfferedKind.NETWORK, told["network"], told["network"], datacenter),
        *(Offered(OfferedKind.TEMPLATE, name, name, datacenter) for name in templates),
    ]
