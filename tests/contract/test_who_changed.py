"""Who did what to a machine of ours by hand, as every cloud with an event log must tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from contract.conftest import CloudLab, ended
from contract.test_machines import made, only, removed, started
from pcg.clouds.base import ChangeKind, Connection, MachineChange, ObservedMachine, TaskState, TellsWhoChanged
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR

Act = Callable[[CloudLab, ObservedMachine], Awaitable[str]]
"""answers the id of the machine to ask about"""


async def power_off(cloud_lab: CloudLab, machine: ObservedMachine) -> str:
    await cloud_lab.lab.power_off(machine.id)
    return machine.id


async def reconfigure(cloud_lab: CloudLab, machine: ObservedMachine) -> str:
    await cloud_lab.lab.reconfigure(machine.id, 2, 8)
    return machine.id


async def remove(cloud_lab: CloudLab, machine: ObservedMachine) -> str:
    await cloud_lab.lab.remove(machine.id)
    return machine.id


async def copy(cloud_lab: CloudLab, machine: ObservedMachine) -> str:
    return await cloud_lab.lab.copy(machine.id)


ACTS = [
    (ChangeKind.POWERED_OFF, power_off, "VmPoweredOffEvent"),
    (ChangeKind.RECONFIGURED, reconfigure, "VmReconfiguredEvent"),
    (ChangeKind.REMOVED, remove, "VmRemovedEvent"),
    (ChangeKind.COPIED, copy, "VmClonedEvent"),
]


async def asked(connection: Connection, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
    assert isinstance(connection, TellsWhoChanged)
    return await connection.who_changed(kind, machine_id, name)


@pytest.mark.parametrize("kind,act,event", ACTS, ids=[kind for kind, _, _ in ACTS])
async def test_a_person_s_change_is_told_with_account_and_time(
    cloud_lab: CloudLab, connection: Connection, kind: ChangeKind, act: Act, event: str
) -> None:
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    if kind is not ChangeKind.COPIED:  # which is asked of the copy
        assert await asked(connection, kind, machine.id, machine.name) is None
    about = await act(cloud_lab, machine)
    change = await asked(connection, kind, about, machine.name)
    assert change is not None
    assert change.user.lower() == ADMINISTRATOR.name
    assert not change.by_own_account
    assert abs(datetime.now(UTC) - change.at) < timedelta(minutes=1)
    assert change.event in (event, f"machine-{kind}")


async def test_a_machine_that_is_gone_is_known_by_its_name_where_its_id_is_not(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    machine = await made(connection, await cloud_lab.spec(connection))
    await cloud_lab.lab.remove(machine.id)
    assert await asked(connection, ChangeKind.REMOVED, "", machine.name) is not None
    assert await asked(connection, ChangeKind.REMOVED, "", "pcg-another-1-1") is None


async def test_what_was_done_before_a_machine_was_removed_is_told_too(
    cloud_lab: CloudLab, connection: Connection
) -> None:
    machine = await started(connection, await made(connection, await cloud_lab.spec(connection)))
    await cloud_lab.lab.power_off(machine.id)
    await cloud_lab.lab.remove(machine.id)
    change = await asked(connection, ChangeKind.POWERED_OFF, machine.id, machine.name)
    assert change is not None and change.user.lower() == ADMINISTRATOR.name
    assert await asked(connection, ChangeKind.RECONFIGURED, machine.id, machine.name) is None


async def test_what_the_own_account_did_is_told_apart(cloud_lab: CloudLab, connection: Connection) -> None:
    machine = await made(connection, await cloud_lab.spec(connection))
    await removed(connection, machine)
    change = await asked(connection, ChangeKind.REMOVED, machine.id, machine.name)
    assert change is not None and change.by_own_account


async def test_the_gateways_own_mending_is_no_change(cloud_lab: CloudLab, connection: Connection) -> None:
    machine = await made(connection, await cloud_lab.spec(connection))
    await cloud_lab.lab.reconfigure(machine.id, 2, 8)
    task = await ended(connection, await connection.start_machine(machine))
    assert task.state is TaskState.DONE, task.error
    change = await asked(connection, ChangeKind.RECONFIGURED, machine.id, (await only(connection)).name)
    assert change is not None and change.user.lower() == ADMINISTRATOR.name
