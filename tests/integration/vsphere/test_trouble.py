"""What goes wrong at a vCenter while a gateway works: each its own clear error, and after it the work goes on.

Elsewhere: wrong passwords and certificates (contract/test_way_in), names that are taken and copies (test_driver,
contract/test_machines), transfers that break at every tenth (test_image_transfers), missing rights one by one
(test_permissions).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import ChangeKind, TaskState
from pcg.clouds.vsphere import events
from pcg.clouds.vsphere import session as sessions
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.errors import CredentialsRejected, NotFound, PermissionMissing, ResourcesMissing, TryAgain, Unreachable

from .conftest import QUICK, SERVICE, Raw
from .test_driver import GATEWAY, configuration_of, connect, finish, made, spec_of

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]
READER = Account("reader@vsphere.local", "may only look", privileges=[])
SILENCE = 1.0
"""seconds after which a call is given up here"""


@pytest.mark.parametrize("state,reason", [("expired", "password-expired"), ("locked", "credentials-rejected")])
async def test_an_expired_password_and_a_locked_account_are_tried_once_and_said(
    vcenter: RunningVcenter, control: Control, state: str, reason: str
) -> None:
    await control("/accounts", {SERVICE.name: state})
    with pytest.raises(CredentialsRejected) as refused:
        async with connect(vcenter):
            pass
    assert refused.value.reason == reason
    assert "unlock" in refused.value.remedy[0]
    assert (await control("/counters"))["Login"] == 1
    await control("/accounts", {SERVICE.name: ""})
    async with connect(vcenter) as connection:
        assert await connection.list_machines(GATEWAY) == []


async def test_an_account_closed_behind_a_session_is_tried_once_when_it_ends(
    vcenter: RunningVcenter, control: Control
) -> None:
    async with connect(vcenter) as connection:
        await connection.inventory("spectro-templates")
        await control("/accounts", {SERVICE.name: "locked"})
        await control("/sessions/end", {})
        before = (await control("/counters"))["Login"]
        for _ in range(3):
            with pytest.raises(CredentialsRejected):
                await connection.inventory("spectro-templates")
        assert (await control("/counters"))["Login"] == before + 1


async def test_an_account_that_may_only_look_sees_all_and_is_told_what_it_lacks(program: Path, tmp_path: Path) -> None:
    accounts = [ADMINISTRATOR, READER]
    async with (
        vcenter_simulator(tmp_path, program=program, accounts=accounts, delays=QUICK) as vcenter,
        connect(vcenter, READER) as connection,
    ):
        configuration = configuration_of(vcenter)
        checks = {check.name: check for check in await connection.check(configuration)}
        assert checks["placement"].ok and checks["template"].ok
        problem = checks["privileges"].problem
        assert isinstance(problem, PermissionMissing)
        assert any("VirtualMachine.Provisioning.DeployTemplate" in row for row in problem.evidence)
        with pytest.raises(PermissionMissing) as refused:
            await connection.create_machine(GATEWAY, await spec_of(connection, configuration))
        assert refused.value.fields["account"] == READER.name
        assert await connection.who_changed(ChangeKind.REMOVED, "vm-1", "nobody") is None


async def test_what_is_renamed_under_way_is_still_known_and_by_its_old_name_not_found(
    vcenter: RunningVcenter, raw: Raw
) -> None:
    configuration = configuration_of(vcenter)
    async with connect(vcenter) as connection:
        first = await made(connection, await spec_of(connection, configuration))
        await asyncio.to_thread(lambda: raw.finish(raw.cluster.Rename_Task("c-renamed")))
        # What was found once is known by its id, whatever it is called now.
        second = await made(connection, await spec_of(connection, configuration, 2))
        assert {machine.id for machine in await connection.list_machines(GATEWAY)} == {first.id, second.id}
        async with connect(vcenter) as another:
            assert len(await another.list_machines(GATEWAY)) == 2
            with pytest.raises(NotFound) as lost:
                await another.create_machine(GATEWAY, await spec_of(another, configuration, 3))
            assert "c-renamed" in " ".join([*lost.value.evidence, *lost.value.remedy])
            await asyncio.to_thread(lambda: raw.finish(raw.cluster.Rename_Task("c-1")))
            assert (await made(another, await spec_of(another, configuration, 3))).genuine


async def test_a_clone_that_somebody_cancels_is_said_so_and_begun_anew(vcenter: RunningVcenter, raw: Raw) -> None:
    async with connect(vcenter) as connection:
        spec = await spec_of(connection, configuration_of(vcenter))
        task = await connection.create_machine(GATEWAY, spec)
        await asyncio.to_thread(lambda: vim.Task(task.id, raw.stub).CancelTask())
        ended = await finish(connection, task)
        assert ended.state is TaskState.FAILED
        assert isinstance(ended.error, TryAgain)
        assert ended.error.reason == "task-cancelled"
        assert task.id in ended.error.evidence[0]
        assert await connection.list_machines(GATEWAY) == []
        assert (await made(connection, spec)).genuine


async def test_a_datastore_that_fills_under_way_is_named_and_with_room_it_goes_on(
    vcenter: RunningVcenter, control: Control
) -> None:
    async with connect(vcenter) as connection:
        spec = await spec_of(connection, configuration_of(vcenter))
        task = await connection.create_machine(GATEWAY, spec)
        await control("/datastores/ds-1", {"freeGiB": 0})
        ended = await finish(connection, task)
        assert isinstance(ended.error, ResourcesMissing)
        assert (ended.error.fields["resource"], ended.error.fields["where"]) == ("disk space", "ds-1")
        assert await connection.list_machines(GATEWAY) == []
        await control("/datastores/ds-1", {"freeGiB": 4096})
        assert (await made(connection, spec)).genuine


async def test_a_vcenter_that_falls_silent_in_mid_clone_is_followed_up_when_it_is_back(
    vcenter: RunningVcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CALL_TIMEOUT", SILENCE)
    async with connect(vcenter) as connection:
        spec = await spec_of(connection, configuration_of(vcenter))
        task = await connection.create_machine(GATEWAY, spec)
        os.kill(vcenter.pid, signal.SIGSTOP)
        # Until it has stopped it may still answer.
        await asyncio.to_thread(os.waitid, os.P_PID, vcenter.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            with pytest.raises(Unreachable) as away:
                await connection.task(task.id)
            assert away.value.fields["target"] == vcenter.address
        finally:
            os.kill(vcenter.pid, signal.SIGCONT)
        async with connect(vcenter) as another:  # as the gateway does after Unreachable
            ended = await finish(another, task)
            assert ended.state is TaskState.DONE
            (machine,) = await another.list_machines(GATEWAY)
            assert (machine.name, machine.genuine) == (spec.name, True)


async def test_a_vcenter_that_forgot_the_clone_in_mid_clone_is_asked_anew(program: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"program": program, "accounts": [SERVICE], "host": "127.64.0.22"}
    async with AsyncExitStack() as stack:
        slow = {**QUICK, "CloneVM_Task": 60.0}
        first = await stack.enter_async_context(vcenter_simulator(tmp_path, delays=slow, **settings))
        connection = await stack.enter_async_context(connect(first))
        task = await connection.create_machine(GATEWAY, await spec_of(connection, configuration_of(first)))
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(Unreachable):
            await connection.task(task.id)
        settings["port"] = int(first.address.rpartition(":")[2])
        async with vcenter_simulator(tmp_path, delays=QUICK, **settings) as second, connect(second) as another:
            assert await another.task(task.id) is None
            assert await another.unfinished(GATEWAY) == []
            await made(another, await spec_of(another, configuration_of(second)))
            assert len(await another.list_machines(GATEWAY)) == 1


async def test_a_machine_restored_beside_its_original_is_a_copy(vcenter: RunningVcenter, raw: Raw) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        await asyncio.to_thread(lambda: raw.finish(raw.clone("restored", raw.machine(machine.name))))
        found = {one.name: one for one in await connection.list_machines(GATEWAY)}
        assert (found["restored"].genuine, found[machine.name].genuine) == (False, True)
        change = await connection.who_changed(ChangeKind.COPIED, found["restored"].id, "restored")
        assert change is not None and change.user == ADMINISTRATOR.name


async def test_who_did_it_is_asked_within_bounds_and_a_right_that_is_missing_is_an_error_of_the_contract(
    vcenter: RunningVcenter, raw: Raw, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        ours = await asyncio.to_thread(raw.machine, machine.name)
        change = vim.vm.ConfigSpec(numCPUs=8)
        await asyncio.to_thread(lambda: raw.finish(ours.ReconfigVM_Task(change)))
        await control("/counters/reset", {})
        assert await connection.who_changed(ChangeKind.RECONFIGURED, machine.id, machine.name) is not None
        counted = await control("/counters")
        assert (counted["QueryEvents"], sum(counted.values())) == (1, 3)
        await asyncio.to_thread(lambda: raw.finish(ours.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="a note"))))
        told = await connection.who_changed(ChangeKind.RECONFIGURED, machine.id, machine.name)
        assert told is not None and told.user == ADMINISTRATOR.name
        hidden = vim.AuthorizationManager.Permission(principal=SERVICE.name, group=False, roleId=-5, propagate=True)
        manager = raw.content.authorizationManager
        await asyncio.to_thread(lambda: manager.SetEntityPermissions(entity=ours, permission=[hidden]))
        with pytest.raises(PermissionMissing) as missing:
            await connection.who_changed(ChangeKind.POWERED_OFF, machine.id, machine.name)
        assert missing.value.fields["privilege"] == "System.View"
        monkeypatch.setattr(events, "LOOK_BACK", events.SAME_ACT * 0)
        assert await connection.who_changed(ChangeKind.REMOVED, "", machine.name) is None


@pytest.fixture
async def raw(vcenter: RunningVcenter) -> Raw:
    return await asyncio.to_thread(Raw, vcenter)
