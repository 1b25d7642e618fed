"""The vSphere cloud against the simulator: every call of the contract, and what must not be touched."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import (
    CloudTask,
    Connection,
    Login,
    MachineSpec,
    ObservedMachine,
    PowerState,
    TaskState,
    marks_of,
)
from pcg.clouds.table import cloud_of
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.errors import Conflict, CredentialsRejected, GiveUp, NotFound, PermissionMissing, Unreachable
from pcg.model.configuration import CloudKind, Configuration, CustomSize
from pcg.model.naming import instance_uuid, machine_mark, machine_name

from .conftest import QUICK, SERVICE, Raw

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]
GATEWAY = "g7k2mq9d4x"


def login_of(vcenter: RunningVcenter, account: Account = SERVICE, **changes: Any) -> Login:
    values = {
        "address": vcenter.address,
        "username": account.name,
        "password": account.password,
        "thumbprint": vcenter.thumbprint,
    }
    return Login(**{**values, **changes})


def connect(vcenter: RunningVcenter, account: Account = SERVICE, **changes: Any) -> Any:
    return cloud_of(CloudKind.VSPHERE).connect(login_of(vcenter, account, **changes))


def configuration_of(vcenter: RunningVcenter, **placement: str) -> Configuration:
    where = {"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network", **placement}
    return Configuration.model_validate(
        {
            "cloud": "vsphere",
            "vcenter": {"address": vcenter.address, "username": SERVICE.name},
            "placement": [where],
            "template": {"image": "ubuntu-2204-k8s-1.30"},
        }
    )


async def spec_of(connection: Connection, configuration: Configuration, ordinal: int = 1) -> MachineSpec:
    template = (await connection.ensure_template(configuration)).template
    assert template is not None
    return MachineSpec(
        name=machine_name(GATEWAY, "edge", 1, ordinal),
        marks=marks_of(GATEWAY, machine_mark(1, ordinal), instance_uuid(GATEWAY, 1, ordinal)),
        placement=configuration.placement[0],
        template=template,
        hardware=CustomSize(cpus=4, memory_gi_b=4, disk_gi_b=60),
        user_data="#cloud-config\nhostname: n\n",
        meta_data="instance-id: i\n",
    )


async def finish(connection: Connection, task: CloudTask) -> CloudTask:
    deadline = time.monotonic() + 15
    while task.state is TaskState.RUNNING and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        looked = await connection.task(task.id)
        assert looked is not None
        task = looked
    return task


async def made(connection: Connection, spec: MachineSpec) -> ObservedMachine:
    task = await finish(connection, await connection.create_machine(GATEWAY, spec))
    assert task.state is TaskState.DONE, task.error
    return next(m for m in await connection.list_machines(GATEWAY) if m.name == spec.name and m.genuine)


async def removed(connection: Connection, machine: ObservedMachine) -> list[str]:
    kinds = []
    while any(found.id == machine.id for found in await connection.list_machines(GATEWAY)):
        task = await finish(connection, await connection.delete_machine(machine))
        assert task.state is TaskState.DONE, task.error
        kinds.append(task.kind)
    return kinds


async def test_a_machine_from_template_to_address_and_gone(vcenter: RunningVcenter, control: Control) -> None:
    configuration = configuration_of(vcenter)
    async with connect(vcenter) as connection:
        assert await connection.list_machines(GATEWAY) == []
        spec = await spec_of(connection, configuration)
        task = await connection.create_machine(GATEWAY, spec)
        assert (task.kind, task.machine_name, task.state) == ("create", spec.name, TaskState.RUNNING)
        assert [(t.kind, t.machine_name) for t in await connection.unfinished(GATEWAY)] == [("create", spec.name)]
        task = await finish(connection, task)
        assert task.state is TaskState.DONE
        assert await connection.unfinished(GATEWAY) == []

        (machine,) = await connection.list_machines(GATEWAY)
        assert machine.genuine
        assert machine.belongs_to(GATEWAY)
        assert machine.marks == spec.marks
        assert (machine.power, machine.address, machine.hardware) == (PowerState.OFF, None, (4, 4))
        assert machine.created is not None
        assert abs(machine.created - time.time()) < 60
        (seen,) = [m for m in (await control("/machines"))["machines"] if m["moid"] == machine.id]
        assert base64.b64decode(seen["extraConfig"]["guestinfo.userdata"]).decode() == spec.user_data
        assert seen["extraConfig"]["guestinfo.metadata.encoding"] == "base64"
        assert seen["networks"] == ["VM Network"]

        started = await finish(connection, await connection.start_machine(machine))
        assert (started.kind, started.state) == ("start", TaskState.DONE)
        again = await connection.start_machine(machine)
        assert again.state is TaskState.DONE

        await connection.list_machines(GATEWAY)
        waiting = asyncio.create_task(connection.wait_for_change(GATEWAY, 20))
        await asyncio.sleep(0.5)
        posted = time.monotonic()
        guest = {"address": "127.64.3.4", "hostname": spec.name, "toolsRunning": True}
        await control(f"/machines/{machine.id}/guest", guest)
        assert await waiting is True
        assert time.monotonic() - posted < 2
        (machine,) = await connection.list_machines(GATEWAY)
        assert (machine.address, machine.cluster_tools, machine.power) == ("127.64.3.4", True, PowerState.ON)

        assert await removed(connection, machine) == ["power-off", "delete"]
        gone = await connection.delete_machine(machine)
        assert (gone.state, gone.kind) == (TaskState.DONE, "delete")
    assert len((await control("/machines"))["machines"]) == 3


async def test_a_distributed_port_group_as_the_network(vcenter: RunningVcenter, control: Control) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter, network="dvpg-1")))
        (seen,) = [m for m in (await control("/machines"))["machines"] if m["moid"] == machine.id]
        assert seen["networks"] == ["dvpg-1"]


async def test_a_pass_with_nothing_to_do_is_one_bulk_read(vcenter: RunningVcenter, control: Control) -> None:
    async with connect(vcenter) as connection:
        await made(connection, await spec_of(connection, configuration_of(vcenter)))
        await connection.list_machines(GATEWAY)
        await control("/counters/reset", {})
        await connection.list_machines(GATEWAY)
        assert await control("/counters") == {"RetrievePropertiesEx": 1}


async def test_a_new_connection_finds_what_an_older_one_left(vcenter: RunningVcenter, control: Control) -> None:
    await control("/delays", {"CloneVM_Task": 1.5})
    configuration = configuration_of(vcenter)
    async with connect(vcenter) as first:
        spec = await spec_of(first, configuration)
        left = await first.create_machine(GATEWAY, spec)
    async with connect(vcenter) as second:
        (task,) = await second.unfinished(GATEWAY)
        assert (task.id, task.kind, task.machine_name) == (left.id, "create", spec.name)
        assert await second.unfinished("another00") == []
        assert (await finish(second, task)).state is TaskState.DONE
        (machine,) = await second.list_machines(GATEWAY)
        assert machine.genuine
        with pytest.raises(Conflict):
            await second.create_machine(GATEWAY, spec)


async def test_what_was_being_made_when_the_gateway_was_killed_is_seen_once_it_is_there(
    vcenter: RunningVcenter,
) -> None:
    """Also by one that only removes, and so never learns where its machines are placed."""
    async with connect(vcenter) as first:
        await first.create_machine(GATEWAY, await spec_of(first, configuration_of(vcenter)))
    async with connect(vcenter) as second:
        (task,) = await second.unfinished(GATEWAY)
        assert await second.list_machines(GATEWAY) == []
        await finish(second, task)
        assert await second.unfinished(GATEWAY) == []
        (machine,) = await second.list_machines(GATEWAY)
        assert machine.genuine


async def test_a_taken_name_is_a_conflict_of_the_task(vcenter: RunningVcenter) -> None:
    async with connect(vcenter) as connection:
        spec = await spec_of(connection, configuration_of(vcenter))
        raw = await asyncio.to_thread(Raw, vcenter)
        await asyncio.to_thread(lambda: raw.finish(raw.clone(spec.name)))
        task = await finish(connection, await connection.create_machine(GATEWAY, spec))
        assert task.state is TaskState.FAILED
        assert isinstance(task.error, Conflict)
        assert task.error.reason == "name-taken"
        assert isinstance(task.error.__cause__, vim.fault.DuplicateName)
        assert await connection.list_machines(GATEWAY) == []


async def test_a_copy_by_a_person_is_reported_and_never_touched(vcenter: RunningVcenter) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        raw = await asyncio.to_thread(Raw, vcenter)
        ours = await asyncio.to_thread(raw.machine, machine.name)
        await asyncio.to_thread(lambda: raw.finish(raw.clone("my copy", source=ours, folder="others")))
        await asyncio.to_thread(lambda: raw.finish(raw.clone("copy", source=ours)))
        found = {m.name: m for m in await connection.list_machines(GATEWAY)}
        assert found[machine.name].genuine
        assert not found["copy"].genuine
        for act in (connection.delete_machine, connection.start_machine):
            with pytest.raises(GiveUp) as refused:
                await act(found["copy"])
            assert refused.value.reason == "machine-copied"
    async with connect(vcenter) as fresh:
        # A gateway that was restarted finds copies wherever they are.
        assert {m.name for m in await fresh.list_machines(GATEWAY)} == {machine.name, "copy", "my copy"}
        await removed(fresh, machine)
        assert {m.name for m in await fresh.list_machines(GATEWAY)} == {"copy", "my copy"}


async def test_foreign_disks_are_detached_not_destroyed(vcenter: RunningVcenter, tmp_path: Any) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        raw = await asyncio.to_thread(Raw, vcenter)

        def attach() -> None:
            ours = raw.machine(machine.name)
            disk = next(d for d in ours.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk))
            for unit, path in ((1, "[ds-1] fcd/volume.vmdk"), (2, f"[ds-1] {machine.name}/added-by-hand.vmdk")):
                added = vim.vm.device.VirtualDisk(
                    key=-unit,
                    controllerKey=disk.controllerKey,
                    unitNumber=unit,
                    capacityInKB=1024,
                    backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=path, diskMode="persistent"),
                )
                change = vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=added)
                raw.finish(ours.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))

        await asyncio.to_thread(attach)
        (machine,) = await connection.list_machines(GATEWAY)
        assert sorted(machine.foreign_disks) == [
            "[ds-1] fcd/volume.vmdk",
            f"[ds-1] {machine.name}/added-by-hand.vmdk",
        ]
        assert await removed(connection, machine) == ["detach", "delete"]
    assert (tmp_path / "vcenter/datastore/fcd/volume.vmdk").exists()


async def test_hardware_that_differs_is_mended_before_the_start(vcenter: RunningVcenter) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        raw = await asyncio.to_thread(Raw, vcenter)
        ours = await asyncio.to_thread(raw.machine, machine.name)
        await asyncio.to_thread(lambda: raw.finish(ours.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2, memoryMB=2048))))
        kinds = []
        for _ in range(2):
            kinds.append((await finish(connection, await connection.start_machine(machine))).kind)
        assert kinds == ["mend", "start"]
        (machine,) = await connection.list_machines(GATEWAY)
        assert (machine.hardware, machine.power) == ((4, 4), PowerState.ON)


async def test_waits_end_in_time_and_by_cancel_and_hear_of_failed_tasks(
    vcenter: RunningVcenter, control: Control
) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        await connection.list_machines(GATEWAY)
        while await connection.wait_for_change(GATEWAY, 0.6):
            await connection.list_machines(GATEWAY)
        started = time.monotonic()
        assert await connection.wait_for_change(GATEWAY, 0.7) is False
        assert 0.6 < time.monotonic() - started < 2
        waiting = asyncio.create_task(connection.wait_for_change(GATEWAY, 60))
        await asyncio.sleep(0.4)
        waiting.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert time.monotonic() - started < 2

        # Cancelled twice, the wait is ended by whoever comes next.
        waiting = asyncio.create_task(connection.wait_for_change(GATEWAY, 60))
        await asyncio.sleep(0.4)
        waiting.cancel()
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await connection.wait_for_change(GATEWAY, 0.7) is False

        # The second task fails at once: no machine changes, the task's end alone is the news.
        await control("/delays", {"PowerOnVM_Task": 1.0})
        first = await connection.start_machine(machine)
        second = await connection.start_machine(machine)
        assert await connection.wait_for_change(GATEWAY, 10) is True
        failed = await finish(connection, second)
        assert failed.state is TaskState.FAILED
        assert (await finish(connection, first)).state is TaskState.DONE


async def test_a_missing_privilege_names_privilege_object_and_account(vcenter: RunningVcenter) -> None:
    configuration = configuration_of(vcenter)
    async with connect(vcenter) as connection:
        spec = await spec_of(connection, configuration)
        assert all(check.ok for check in await connection.check(configuration))
        raw = await asyncio.to_thread(Raw, vcenter)

        def take_away(privilege: str) -> None:
            manager = raw.content.authorizationManager
            (role,) = [r for r in manager.roleList if r.name == f"role of {SERVICE.name}"]
            manager.UpdateAuthorizationRole(role.roleId, role.name, [p for p in role.privilege if p != privilege])

        await asyncio.to_thread(take_away, "VirtualMachine.Inventory.CreateFromExisting")
        with pytest.raises(PermissionMissing) as missing:
            await connection.create_machine(GATEWAY, spec)
        assert missing.value.fields["privilege"] == "VirtualMachine.Inventory.CreateFromExisting"
        assert missing.value.fields["object"] == "/dc-1/vm/pcg"
        assert missing.value.fields["object-type"] == "Folder"
        assert missing.value.fields["account"] == SERVICE.name
        assert isinstance(missing.value.__cause__, vim.fault.NoPermission)
        (refused,) = [check for check in await connection.check(configuration) if not check.ok]
        assert isinstance(refused.problem, PermissionMissing)
        assert refused.problem.fields["object"] == "/dc-1/vm/pcg"


async def test_wrong_names_list_near_matches(vcenter: RunningVcenter) -> None:
    async with connect(vcenter) as connection:
        wrong = configuration_of(vcenter, datastore="ds1", network="VM Netwrk")
        (placement,) = [check for check in await connection.check(wrong) if check.name == "placement"]
        assert placement.ok is False
        assert isinstance(placement.problem, NotFound)
        assert placement.problem.fields["near"] == "ds-1"
        document = configuration_of(vcenter).model_dump(by_alias=True, mode="json")
        document["template"]["image"] = "ubuntu-2204-k8s-1.31"
        with pytest.raises(NotFound) as missing:
            await connection.ensure_template(Configuration.model_validate(document))
        assert missing.value.fields["near"] == "ubuntu-2204-k8s-1.30"


async def test_who_is_trusted_and_who_is_not(vcenter: RunningVcenter) -> None:
    pem = vcenter.certificate.read_text()
    async with connect(vcenter, thumbprint=None, ca=pem):
        pass
    async with connect(vcenter, thumbprint=vcenter.thumbprint.lower(), address=f"https://{vcenter.address}/"):
        pass
    wrong = "AA:" + vcenter.thumbprint[3:]
    for changes, reason in (
        ({"thumbprint": wrong}, "thumbprint-mismatch"),
        ({"thumbprint": None}, "certificate-untrusted"),
    ):
        with pytest.raises(Unreachable) as refused:
            async with connect(vcenter, **changes):
                pass
        assert refused.value.reason == reason
        assert refused.value.fields["hop"] == "tls"
        assert refused.value.fields["presented"] == vcenter.thumbprint


async def test_failures_to_connect_are_told_apart(vcenter: RunningVcenter, control: Control) -> None:
    with pytest.raises(CredentialsRejected):
        async with connect(vcenter, password="wrong"):
            pass
    assert (await control("/counters"))["Login"] == 1  # not tried again
    for address, hop in (("no-such-host.invalid", "name"), ("127.64.0.77:1", "connect")):
        with pytest.raises(Unreachable) as refused:
            async with connect(vcenter, address=address):
                pass
        assert refused.value.fields["hop"] == hop


async def test_an_ended_session_is_renewed(vcenter: RunningVcenter, control: Control) -> None:
    async with connect(vcenter) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        await control("/sessions/end", {})
        assert [m.id for m in await connection.list_machines(GATEWAY)] == [machine.id]
        await control("/sessions/end", {})
        assert await connection.wait_for_change(GATEWAY, 5) is True
        await connection.list_machines(GATEWAY)
        await connection.wait_for_change(GATEWAY, 0.5)


async def test_three_machines_go_forward_side_by_side(vcenter: RunningVcenter) -> None:
    async with connect(vcenter, ADMINISTRATOR) as connection:
        configuration = configuration_of(vcenter)
        specs = [await spec_of(connection, configuration, ordinal) for ordinal in (1, 2, 3)]
        started = time.monotonic()
        tasks = await asyncio.gather(*(connection.create_machine(GATEWAY, spec) for spec in specs))
        assert {t.machine_name for t in await connection.unfinished(GATEWAY)} == {spec.name for spec in specs}
        done = await asyncio.gather(*(finish(connection, task) for task in tasks))
        assert all(task.state is TaskState.DONE for task in done)
        assert time.monotonic() - started < 2.5
        assert len(await connection.list_machines(GATEWAY)) == 3


async def test_a_vcenter_that_goes_away_and_comes_back(program: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"program": program, "accounts": [SERVICE], "host": "127.64.0.21", "delays": QUICK}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(vcenter_simulator(tmp_path, **settings))
        settings["port"] = int(first.address.rpartition(":")[2])
        connection = await stack.enter_async_context(connect(first))
        machine = await made(connection, await spec_of(connection, configuration_of(first)))
        os.kill(first.pid, signal.SIGKILL)
        with pytest.raises(Unreachable):
            await connection.list_machines(GATEWAY)
        with pytest.raises(Unreachable):
            await connection.wait_for_change(GATEWAY, 5)
        async with vcenter_simulator(tmp_path, **settings) as second:
            # The simulator forgets its inventory; the same certificate and account let the connection go on.
            assert second.thumbprint == first.thumbprint
            assert await connection.list_machines(GATEWAY) == []
            assert (await connection.delete_machine(machine)).state is TaskState.DONE
            again = await made(connection, await spec_of(connection, configuration_of(second)))
            assert again.genuine
