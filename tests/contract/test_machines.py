"""The life of a machine, as every cloud must tell it."""

from __future__ import annotations

import asyncio
import time

import pytest

from contract.conftest import GATEWAY, OTHER, CloudLab, ended
from pcg.clouds.base import Connection, MachineSpec, ObservedMachine, PowerState, TaskState
from pcg.errors import Conflict, GiveUp


async def made(connection: Connection, spec: MachineSpec, gateway_id: str = GATEWAY) -> ObservedMachine:
    task = await ended(connection, await connection.create_machine(gateway_id, spec))
    assert task.state is TaskState.DONE, task.error
    return await only(connection, gateway_id)


async def only(connection: Connection, gateway_id: str = GATEWAY) -> ObservedMachine:
    (machine,) = await connection.list_machines(gateway_id)
    return machine


async def started(connection: Connection, machine: ObservedMachine) -> ObservedMachine:
    """Switched on, in as many steps as the cloud needs."""
    async with asyncio.timeout(20):
        while machine.power is not PowerState.ON:
            task = await ended(connection, await connection.start_machine(machine))
            assert task.state is TaskState.DONE, task.error
            machine = await only(connection)
    return machine


async def removed(connection: Connection, machine: ObservedMachine) -> None:
    async with asyncio.timeout(20):
        while await connection.list_machines(GATEWAY):
            task = await ended(connection, await connection.delete_machine(machine))
            assert task.state is TaskState.DONE, task.error


async def test_a_machine_is_made_with_all_that_was_asked(cloud_lab: CloudLab, connection: Connection) -> None:
    assert await connection.list_machines(GATEWAY) == []
    spec = await cloud_lab.spec(connection)
    machine = await made(connection, spec)
    assert machine.name == spec.name
    assert machine.marks == spec.marks
    assert machine.genuine and machine.belongs_to(GATEWAY)
    assert machine.power is PowerState.OFF
    assert machine.hardware == (4, 4)
    assert machine.created is not None
    assert await connection.list_machines(OTHER) == []


async def test_a_creation_is_seen_while_it_lasts_also_by_who_has_forgotten_it(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    spec = await cloud_lab.spec(connection)
    begun = await connection.create_machine(GATEWAY, spec)
    assert begun.state is TaskState.RUNNING
    async with cloud_lab.connect() as another:
        (seen,) = await another.unfinished(GATEWAY)
        assert (seen.id, seen.kind, seen.machine_name) == (begun.id, "create", spec.name)
        assert await another.unfinished(OTHER) == []
        done = await ended(another, seen)
        assert done.state is TaskState.DONE
        assert await another.unfinished(GATEWAY) == []
        assert (await only(another)).name == spec.name


async def test_nothing_is_made_twice(cloud_lab: CloudLab, connection: Connection) -> None:
    spec = await cloud_lab.spec(connection)
    await made(connection, spec)
    with pytest.raises(Conflict) as refused:
        task = await ended(connection, await connection.create_machine(GATEWAY, spec))
        assert isinstance(task.error, Conflict)
        raise task.error
    assert refused.value.reason in ("name-taken", "instance-exists")
    await only(connection)


async def test_a_strangers_name_is_refused_and_the_stranger_is_not_listed(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    spec = await cloud_lab.spec(connection)
    stranger = await cloud_lab.lab.add_stranger(spec.name)
    with pytest.raises(Conflict, match="taken") as refused:
        task = await ended(connection, await connection.create_machine(GATEWAY, spec))
        assert isinstance(task.error, Conflict)
        raise task.error
    assert refused.value.reason == "name-taken"
    assert await connection.list_machines(GATEWAY) == []
    assert stranger in [machine["id"] for machine in await cloud_lab.lab.machines()]


async def test_a_started_machine_boots_and_reports_its_address(cloud_lab: CloudLab, connection: Connection) -> None:
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    async with asyncio.timeout(20):
        while (machine := await only(connection)).address is None:
            assert await connection.wait_for_change(GATEWAY, 15)
    assert machine.address.startswith("127.")
    assert machine.cluster_tools
    assert machine.host_name == "contract"  # as its meta data says
    assert machine.dhcp is not False and machine.connected
    again = await connection.start_machine(machine)
    assert again.state is TaskState.DONE


async def test_user_data_is_taken_out_of_a_running_machine_once_and_for_all(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    assert machine.holds_user_data
    task = await ended(connection, await connection.clear_user_data(machine))
    assert (task.state, task.kind) == (TaskState.DONE, "reconfigure"), task.error
    async with cloud_lab.connect() as another:  # whoever has forgotten it sees it at the machine
        seen = await only(another)
        assert (seen.holds_user_data, seen.marks, seen.power) == (False, machine.marks, PowerState.ON)
        again = await another.clear_user_data(seen)
        assert again.state is TaskState.DONE
    await removed(connection, seen)
    gone = await connection.clear_user_data(machine)
    assert gone.state is TaskState.DONE


async def test_a_running_machine_is_removed_and_removing_it_again_is_no_error(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    others = await cloud_lab.lab.machines()
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    await removed(connection, machine)
    again = await connection.delete_machine(machine)
    assert again.state is TaskState.DONE
    assert await cloud_lab.lab.machines() == others


async def test_a_persons_copy_is_listed_but_never_removed(cloud_lab: CloudLab, connection: Connection) -> None:
    machine = await made(connection, await cloud_lab.spec(connection))
    copy_id = await cloud_lab.lab.copy(machine.id)
    found = {item.id: item for item in await connection.list_machines(GATEWAY)}
    assert found.keys() == {machine.id, copy_id}
    copy = found[copy_id]
    assert copy.marks == machine.marks
    assert not copy.genuine
    with pytest.raises(GiveUp):
        await connection.delete_machine(copy)
    with pytest.raises(GiveUp):
        await connection.clear_user_data(copy)
    assert copy_id in [item["id"] for item in await cloud_lab.lab.machines()]


async def test_news_of_our_machine_wakes_the_wait(cloud_lab: CloudLab, connection: Connection) -> None:
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    async with asyncio.timeout(20):
        while (await only(connection)).address is None:
            await connection.wait_for_change(GATEWAY, 15)
    waiting = asyncio.create_task(connection.wait_for_change(GATEWAY, 20))
    await cloud_lab.lab.power_off(machine.id)
    began = time.monotonic()
    assert await waiting
    assert time.monotonic() - began < 5
    assert (await only(connection)).power is PowerState.OFF


async def test_the_end_of_a_task_wakes_the_wait(cloud_lab: CloudLab, connection: Connection) -> None:
    spec = await cloud_lab.spec(connection)
    task = await connection.create_machine(GATEWAY, spec)
    async with asyncio.timeout(20):
        while True:
            await connection.list_machines(GATEWAY)
            looked = await connection.task(task.id)
            assert looked is not None
            if looked.state is not TaskState.RUNNING:
                break
            assert await connection.wait_for_change(GATEWAY, 20)
    await only(connection)


async def test_without_news_the_wait_ends_in_time(cloud_lab: CloudLab, connection: Connection) -> None:
    await connection.list_machines(GATEWAY)
    assert not await connection.wait_for_change(GATEWAY, 0.5)


async def test_two_gateways_in_one_folder_do_not_see_each_other(cloud_lab: CloudLab, connection: Connection) -> None:
    spec = await cloud_lab.spec(connection)
    await made(connection, spec)
    other = await cloud_lab.spec(connection, gateway_id=OTHER)
    second = await made(connection, other, OTHER)
    assert second.name == other.name
    assert (await only(connection)).name == spec.name


async def test_an_unknown_task_is_none(cloud_lab: CloudLab, connection: Connection) -> None:
    assert await connection.task("task-that-never-was") is None
