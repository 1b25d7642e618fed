"""The inventory that is offered for a configuration, of a vCenter with more than the plain case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pcg.clouds.base import Offered, OfferedKind
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter

from .conftest import Raw
from .test_capacity import pool_spec
from .test_driver import GATEWAY, configuration_of, connect, made, spec_of

pytestmark = pytest.mark.vsphere


def enlarge(vcenter: RunningVcenter) -> None:
    raw = Raw(vcenter)
    raw.folder("pcg").CreateFolder("team-a")
    raw.cluster.resourcePool.CreateResourcePool("small", pool_spec(memory=-1, cpu=-1))
    raw.content.rootFolder.CreateFolder("europe").CreateDatacenter("dc-2").hostFolder.CreateFolder("racks")
    raw.finish(raw.clone("no-template", folder="spectro-templates"))


async def test_everything_that_a_configuration_may_name(vcenter: RunningVcenter) -> None:
    await asyncio.to_thread(enlarge, vcenter)
    async with connect(vcenter) as connection:
        found = await connection.inventory("spectro-templates")
    kinds = OfferedKind
    assert [entry for entry in found if entry.kind is not kinds.NETWORK] == [
        Offered(kinds.DATACENTER, "dc-1", "dc-1"),
        Offered(kinds.DATACENTER, "dc-2", "europe/dc-2"),
        Offered(kinds.CLUSTER, "c-1", "c-1", "dc-1"),
        Offered(kinds.RESOURCE_POOL, "Resources", "Resources", "dc-1", "c-1"),
        Offered(kinds.RESOURCE_POOL, "small", "Resources/small", "dc-1", "c-1"),
        Offered(kinds.FOLDER, "others", "others", "dc-1"),
        Offered(kinds.FOLDER, "pcg", "pcg", "dc-1"),
        Offered(kinds.FOLDER, "team-a", "pcg/team-a", "dc-1"),
        Offered(kinds.FOLDER, "spectro-templates", "spectro-templates", "dc-1"),
        # The clone above took 20.
        Offered(kinds.DATASTORE, "ds-1", "ds-1", "dc-1", free_gib=8172, capacity_gib=8192),
        Offered(kinds.TEMPLATE, "ubuntu-2204-k8s-1.30", "ubuntu-2204-k8s-1.30", "dc-1"),
    ]
    networks = {entry.name for entry in found if entry.kind is kinds.NETWORK}
    assert {"VM Network", "dvpg-1"} <= networks
    assert not any("uplink" in name.lower() for name in networks)


async def test_two_round_trips_and_no_templates_of_another_folder(
    vcenter: RunningVcenter, control: Callable[..., Any]
) -> None:
    async with connect(vcenter) as connection:
        await control("/counters/reset", {})
        assert any(
            entry.kind is OfferedKind.TEMPLATE for entry in await connection.inventory("/dc-1/vm/spectro-templates")
        )
        assert await control("/counters") == {"RetrievePropertiesEx": 2}
        assert not any(entry.kind is OfferedKind.TEMPLATE for entry in await connection.inventory("others"))
        assert not any(entry.kind is OfferedKind.TEMPLATE for entry in await connection.inventory("no such folder"))


async def test_a_new_connection_finds_a_machine_that_was_moved_and_renamed(
    vcenter: RunningVcenter, control: Callable[..., Any]
) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))

    def move() -> None:
        raw = Raw(vcenter)
        thing = raw.machine(machine.name)
        raw.finish(thing.Rename_Task("somebody's"))
        raw.finish(raw.folder("others").MoveIntoFolder_Task([thing]))

    await asyncio.to_thread(move)
    async with connect(vcenter) as connection:
        await control("/counters/reset", {})
        (found,) = await connection.list_machines(GATEWAY)
        assert (found.id, found.name, found.genuine) == (machine.id, "somebody's", True)
        counted = await control("/counters")
        # All machines' names and notes, the settings of those that may be ours, ours.
        assert counted["RetrievePropertiesEx"] == 3
