"""Where a gateway that was started again looks for its machines: where it remembers them, and everywhere if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pcg.clouds.base import Connection, ObservedMachine, Remembered
from pcg.clouds.vsphere import own_folders
from pcg.clouds.vsphere.simulator.launcher import RunningVcenter
from pcg.model.configuration import Configuration
from pcg.model.naming import instance_uuid

from .conftest import Raw
from .test_driver import GATEWAY, configuration_of, connect, made, spec_of

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]


def memory_of(configuration: Configuration, *ordinals: int) -> Remembered:
    instances = frozenset(instance_uuid(GATEWAY, 1, ordinal) for ordinal in ordinals)
    return Remembered(configuration.placement, instances)


async def two_machines(vcenter: RunningVcenter) -> list[ObservedMachine]:
    configuration = configuration_of(vcenter)
    async with connect(vcenter) as connection:
        return [await made(connection, await spec_of(connection, configuration, ordinal)) for ordinal in (1, 2)]


async def move_to_others(vcenter: RunningVcenter, machine: ObservedMachine) -> None:
    def move() -> None:
        raw = Raw(vcenter)
        raw.finish(raw.folder("others").MoveIntoFolder_Task([raw.machine(machine.name)]))
        raw.drop()

    await asyncio.to_thread(move)


async def found(connection: Connection, remembered: Remembered | None) -> list[str]:
    return sorted(machine.name for machine in await connection.list_machines(GATEWAY, remembered))


async def test_machines_that_lie_where_they_are_remembered_need_no_look_everywhere(
    vcenter: RunningVcenter, control: Control
) -> None:
    machines = await two_machines(vcenter)
    remembered = memory_of(configuration_of(vcenter), 1, 2)
    async with connect(vcenter) as connection:
        await control("/counters/reset", {})
        assert await found(connection, remembered) == [machine.name for machine in machines]
        assert "CreateContainerView" not in await control("/counters")
        await control("/counters/reset", {})
        assert len(await found(connection, remembered)) == 2
        assert (await control("/counters"))["RetrievePropertiesEx"] == 1
        # Who wants none of them any more asks without memory, and nothing may be missed.
        await move_to_others(vcenter, machines[1])
        assert len(await found(connection, None)) == 2


async def test_one_that_is_not_where_it_was_is_looked_for_everywhere(vcenter: RunningVcenter) -> None:
    machines = await two_machines(vcenter)
    await move_to_others(vcenter, machines[1])
    async with connect(vcenter) as connection:
        assert len(await found(connection, memory_of(configuration_of(vcenter), 1, 2))) == 2


async def test_one_that_nobody_remembers_is_found_after_a_while(
    vcenter: RunningVcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = await two_machines(vcenter)
    await move_to_others(vcenter, machines[1])
    remembered = memory_of(configuration_of(vcenter), 1)
    async with connect(vcenter) as connection:
        assert await found(connection, remembered) == [machines[0].name]
        assert await found(connection, remembered) == [machines[0].name]
        monkeypatch.setattr(own_folders, "LOOK_EVERYWHERE_EVERY", 0.0)
        assert len(await found(connection, remembered)) == 2


@pytest.mark.parametrize("folder", ["gone", "dc-1/vm/gone/deeper"])
async def test_a_folder_that_is_gone_is_no_error(vcenter: RunningVcenter, folder: str) -> None:
    machines = await two_machines(vcenter)
    async with connect(vcenter) as connection:
        remembered = memory_of(configuration_of(vcenter, folder=folder), 1, 2)
        assert await found(connection, remembered) == [machine.name for machine in machines]


async def test_a_gateway_that_remembers_nothing_looks_everywhere(vcenter: RunningVcenter) -> None:
    machines = await two_machines(vcenter)
    async with connect(vcenter) as connection:
        assert await found(connection, memory_of(configuration_of(vcenter))) == [machine.name for machine in machines]
