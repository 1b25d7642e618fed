"""The simulator is true where VMware's own is not; tried with pyVmomi alone, none of our driver."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, RunningVcenter, vcenter_simulator

from .conftest import SERVICE, Raw

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]


async def test_the_thumbprint_survives_a_restart(program: Path, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with vcenter_simulator(tmp_path, program=program, host="127.64.0.9") as running:
            seen.append(running.thumbprint)
            assert running.address.startswith("127.64.0.9:")
    assert seen[0] == seen[1]


async def test_a_wrong_password_and_an_unknown_user_are_refused(vcenter: RunningVcenter) -> None:
    with pytest.raises(vim.fault.InvalidLogin):
        await asyncio.to_thread(Raw, vcenter, ADMINISTRATOR, "wrong")


async def test_a_running_clone_is_visible_to_another_client(vcenter: RunningVcenter, control: Control) -> None:
    await control("/delays", {"CloneVM_Task": 1.0})

    def try_it() -> None:
        first = Raw(vcenter)
        first.clone("n1")
        first.drop()
        second = Raw(vcenter)
        (task,) = second.content.taskManager.recentTask
        assert task.info.state == "running"
        assert task.info.descriptionId == "VirtualMachine.clone"
        assert task.info.entity.name == "ubuntu-2204-k8s-1.30"
        assert task.info.reason.userName == ADMINISTRATOR.name
        chain = vim.event.EventFilterSpec(eventChainId=task.info.eventChainId)
        (event,) = second.content.eventManager.QueryEvents(chain)
        assert event.destName == "n1"
        assert second.machine("n1") is None
        made = second.finish(task)
        assert made == second.machine("n1")
        assert task.info.completeTime > task.info.startTime

    await asyncio.to_thread(try_it)
    (logged,) = (await control("/tasks"))["tasks"]
    assert (logged["method"], logged["target"], logged["state"]) == ("CloneVM_Task", "n1", "success")


async def test_a_clone_honours_its_specification(vcenter: RunningVcenter, control: Control) -> None:
    instance = "0e4b6a3c-6c3d-4b4e-9d35-0d8c5f6a7b11"

    def try_it() -> None:
        raw = Raw(vcenter)
        config = vim.vm.ConfigSpec(
            numCPUs=4,
            memoryMB=4096,
            instanceUuid=instance,
            extraConfig=[vim.option.OptionValue(key="pcg.gateway", value="g1")],
        )
        made = raw.finish(raw.clone("n1", config=config))
        assert (made.config.hardware.numCPU, made.config.hardware.memoryMB) == (4, 4096)
        copy = raw.finish(raw.clone("copy", source=made))
        assert {option.key: option.value for option in copy.config.extraConfig}["pcg.gateway"] == "g1"
        assert copy.config.instanceUuid != instance
        removal = vim.vm.ConfigSpec(extraConfig=[vim.option.OptionValue(key="pcg.gateway", value="")])
        raw.finish(copy.ReconfigVM_Task(removal))
        assert "pcg.gateway" not in {option.key for option in copy.config.extraConfig}

    await asyncio.to_thread(try_it)
    machines = {machine["name"]: machine for machine in (await control("/machines"))["machines"]}
    assert machines["n1"]["instanceUuid"] == instance
    macs = [mac for machine in machines.values() for mac in machine["macs"]]
    assert len(set(macs)) == len(macs)


async def test_a_taken_name_is_refused_even_while_the_first_clone_runs(vcenter: RunningVcenter) -> None:
    def try_it() -> None:
        raw = Raw(vcenter)
        first, second = raw.clone("n1"), raw.clone("n1")
        with pytest.raises(vim.fault.DuplicateName):
            raw.finish(second)
        raw.finish(first)
        with pytest.raises(vim.fault.DuplicateName):
            raw.finish(raw.clone("n1"))

    await asyncio.to_thread(try_it)


@pytest.mark.parametrize(
    ("privilege", "kind"),
    [
        ("VirtualMachine.Provisioning.DeployTemplate", vim.VirtualMachine),
        ("VirtualMachine.Inventory.CreateFromExisting", vim.Folder),
        ("Resource.AssignVMToPool", vim.ResourcePool),
        ("Datastore.AllocateSpace", vim.Datastore),
    ],
)
async def test_a_clone_without_a_privilege_is_refused(vcenter: RunningVcenter, privilege: str, kind: type) -> None:
    def try_it() -> None:
        administrator, service = Raw(vcenter), Raw(vcenter, SERVICE)
        service.finish(service.clone("n1"))
        (role,) = [
            r for r in administrator.content.authorizationManager.roleList if r.name == f"role of {SERVICE.name}"
        ]
        kept = [p for p in role.privilege if p != privilege]
        administrator.content.authorizationManager.UpdateAuthorizationRole(role.roleId, role.name, kept)
        with pytest.raises(vim.fault.NoPermission) as refused:
            service.clone("n2")
        assert isinstance(refused.value.object, kind)
        assert refused.value.privilegeId == privilege

    await asyncio.to_thread(try_it)


async def test_a_permission_propagates_only_if_it_says_so(vcenter: RunningVcenter) -> None:
    def try_it() -> None:
        administrator, service = Raw(vcenter), Raw(vcenter, SERVICE)
        manager = administrator.content.authorizationManager
        role = manager.AddAuthorizationRole("nothing", ["System.View"])
        folder = administrator.folder("pcg")
        sub = folder.CreateFolder("sub")

        def assign(propagate: bool) -> None:
            permission = vim.AuthorizationManager.Permission(
                principal=SERVICE.name, group=False, roleId=role, propagate=propagate
            )
            manager.SetEntityPermissions(folder, [permission])

        assign(False)
        own = service.folder("pcg")
        with pytest.raises(vim.fault.NoPermission):
            own.CreateFolder("a")
        own.childEntity[0].CreateFolder("below")
        assign(True)
        with pytest.raises(vim.fault.NoPermission):
            own.childEntity[0].CreateFolder("below-2")
        answer = manager.HasUserPrivilegeOnEntities([folder, sub, folder.parent], SERVICE.name, ["Folder.Create"])
        assert [one.privAvailability[0].isGranted for one in answer] == [False, False, True]

    await asyncio.to_thread(try_it)


async def test_power_and_destroy_take_time_and_one_task_at_a_time(vcenter: RunningVcenter) -> None:
    def try_it() -> None:
        raw = Raw(vcenter)
        made = raw.finish(raw.clone("n1"))
        first, second = made.PowerOnVM_Task(), made.PowerOnVM_Task()
        with pytest.raises(vim.fault.TaskInProgress):
            raw.finish(second)
        raw.finish(first)
        assert made.runtime.powerState == "poweredOn"
        with pytest.raises(vim.fault.InvalidPowerState):
            raw.finish(made.Destroy_Task())
        raw.finish(made.PowerOffVM_Task())
        raw.finish(made.Destroy_Task())
        assert raw.machine("n1") is None
        with pytest.raises(vmodl.fault.ManagedObjectNotFound):
            made.PowerOnVM_Task()

    await asyncio.to_thread(try_it)


async def test_the_runner_hears_of_machines_and_reports_guests(vcenter: RunningVcenter, control: Control) -> None:
    raw = await asyncio.to_thread(Raw, vcenter)
    revision = (await control("/machines"))["revision"]
    assert (await control(f"/machines?after={revision}&timeout=0.2"))["revision"] == revision

    heard = asyncio.create_task(control(f"/machines?after={revision}&timeout=20"))
    made = await asyncio.to_thread(lambda: raw.finish(raw.clone("n1")))
    news = await heard
    assert news["revision"] > revision
    assert "n1" in {machine["name"] for machine in news["machines"]}

    await asyncio.to_thread(lambda: raw.finish(made.PowerOnVM_Task()))
    moid = made._moId
    woken: list[float] = []

    def wait_for_address() -> None:
        collector = raw.content.propertyCollector.CreatePropertyCollector()
        collector.CreateFilter(
            vmodl.query.PropertyCollector.FilterSpec(
                propSet=[
                    vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["guest.ipAddress"])
                ],
                objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=made)],
            ),
            False,
        )
        version = collector.WaitForUpdatesEx("").version
        ready.set()
        update = collector.WaitForUpdatesEx(version)
        woken.append(time.monotonic())
        assert update.filterSet[0].objectSet[0].changeSet[0].val == "127.64.1.1"

    ready = threading.Event()
    waiting = asyncio.create_task(asyncio.to_thread(wait_for_address))
    await asyncio.to_thread(ready.wait, 10)
    await asyncio.sleep(0.3)
    posted = time.monotonic()
    await control(f"/machines/{moid}/guest", {"address": "127.64.1.1", "hostname": "n1", "toolsRunning": True})
    await waiting
    assert woken[0] - posted < 2.0

    def tools() -> str:
        status = made.guest.toolsRunningStatus
        assert made.guest.net[0].ipAddress == ["127.64.1.1"]
        assert made.guest.hostName == "n1"
        return str(status)

    assert await asyncio.to_thread(tools) == "guestToolsRunning"
    await asyncio.to_thread(lambda: raw.finish(made.PowerOffVM_Task()))
    assert await asyncio.to_thread(lambda: made.guest.ipAddress) is None


async def test_calls_are_counted_and_sessions_can_be_ended(vcenter: RunningVcenter, control: Control) -> None:
    raw = await asyncio.to_thread(Raw, vcenter)
    await control("/counters/reset", {})
    await asyncio.to_thread(lambda: raw.content.rootFolder.name)
    counters = await control("/counters")
    assert sum(counters.values()) == 1
    assert (await control("/sessions/end", {}))["ended"] == 1
    with pytest.raises(vim.fault.NotAuthenticated):
        await asyncio.to_thread(lambda: raw.folder("pcg").CreateFolder("x"))
