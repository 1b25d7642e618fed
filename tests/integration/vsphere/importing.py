"""What the tests of image imports share: the account, the configuration, and waiting for an import's end."""

from __future__ import annotations

import asyncio

from pcg.clouds.base import Connection, TaskState, TemplateProgress
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter
from pcg.errors import PcgError
from pcg.model.configuration import Configuration

from .conftest import SERVICE, Raw

FOLDER = "images/nodes"
NAME = "node-1.30"


def wanted(vcenter: RunningVcenter, image: str, sha256: str | None, folder: str = FOLDER) -> Configuration:
    return Configuration.model_validate(
        {
            "cloud": "vsphere",
            "vcenter": {"address": vcenter.address, "username": SERVICE.name},
            "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
            "template": {"image": image, "sha256": sha256, "folder": folder},
        }
    )


async def outcome(connection: Connection, configuration: Configuration, within: float = 30) -> TemplateProgress:
    """The first answer that is no waiting."""
    async with asyncio.timeout(within):
        while True:
            progress = await connection.ensure_template(configuration)
            if progress.template is not None or (progress.task and progress.task.state is TaskState.FAILED):
                return progress
            await asyncio.sleep(0.02)


async def under_way(connection: Connection, configuration: Configuration) -> TemplateProgress:
    """The first answer that tells how many bytes have come: the lease is ready by then."""
    async with asyncio.timeout(10):
        while "bytes" not in (seen := await connection.ensure_template(configuration)).doing:
            await asyncio.sleep(0.02)
    return seen


async def failure(connection: Connection, configuration: Configuration) -> PcgError:
    progress = await outcome(connection, configuration)
    assert progress.task is not None
    assert isinstance(progress.task.error, PcgError)
    return progress.task.error


def lying_there(vcenter: RunningVcenter, folder: str = FOLDER) -> dict[str, bool]:
    """What lies in the folder: whether each is a template, by name. An absent folder is an empty one."""
    raw = Raw(vcenter)
    found = raw.content.searchIndex.FindByInventoryPath(f"dc-1/vm/{folder}")
    return {} if found is None else {child.name: child.config.template for child in found.childEntity}
