"""Permissions on a vCenter: what is missing is told before anything is made, why, how to mend it; and at run time."""

from __future__ import annotations

import asyncio
import json
import shlex
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import Check, Connection, TaskState
from pcg.clouds.vsphere import role_commands, roles
from pcg.clouds.vsphere.faults import translate
from pcg.clouds.vsphere.role_commands import Assigned
from pcg.clouds.vsphere.simulator.launcher import ADMINISTRATOR, Account, RunningVcenter, vcenter_simulator
from pcg.errors import PcgError, PermissionMissing
from pcg.model.configuration import Configuration

from .conftest import OPENED, QUICK, Raw
from .test_driver import GATEWAY, configuration_of, connect, finish, made, removed, spec_of

pytestmark = pytest.mark.vsphere

Control = Callable[..., Any]
GROUP = "pcg-operators@vsphere.local"
BARE = Account("svc-pcg@vsphere.local", "a password of its own", privileges=[], groups=[GROUP])
"""may see everything and do nothing, until a test gives it something"""


@pytest.fixture
async def vcenter(program: Path, tmp_path: Path) -> AsyncIterator[RunningVcenter]:
    accounts = [ADMINISTRATOR, BARE]
    async with vcenter_simulator(tmp_path / "vcenter", program=program, accounts=accounts, delays=QUICK) as running:
        yield running
        while OPENED:
            OPENED.pop().drop()


class Administrator:
    """What a person does to roles and permissions; every method blocks."""

    def __init__(self, vcenter: RunningVcenter) -> None:
        self.raw = Raw(vcenter)
        self.manager = self.raw.content.authorizationManager

    def role(self, name: str) -> Any:
        return next(role for role in self.manager.roleList if role.name == name)

    def create(self, name: str, privileges: Sequence[str]) -> None:
        self.manager.AddAuthorizationRole(name, list(privileges))

    def take(self, role: str, privilege: str) -> None:
        known = self.role(role)
        self.manager.UpdateAuthorizationRole(known.roleId, role, [one for one in known.privilege if one != privilege])

    def entity(self, path: str) -> Any:
        return self.raw.content.searchIndex.FindByInventoryPath(path) if path != "/" else self.raw.content.rootFolder

    def assign(self, role: str, path: str, *, propagate: bool, principal: str = BARE.name, group: bool = False) -> None:
        permission = vim.AuthorizationManager.Permission(
            principal=principal, group=group, roleId=self.role(role).roleId, propagate=propagate
        )
        self.manager.SetEntityPermissions(self.entity(path), [permission])

    def unassign(self, path: str) -> None:
        self.manager.RemoveEntityPermission(self.entity(path), role_commands.principal(BARE.name), False)

    def unassign_first_role(self) -> None:
        """What the account came with: a role at the root."""
        self.manager.RemoveEntityPermission(self.raw.content.rootFolder, BARE.name, False)

    def permissions_on(self, path: str) -> list[str]:
        names = {role.roleId: role.name for role in self.manager.roleList}
        found = self.manager.RetrieveEntityPermissions(self.entity(path), False)
        return [names[one.roleId] for one in found]

    def obey(self, commands: Sequence[str]) -> None:
        """govc's commands, as govc carries them out."""
        for command in commands:
            words = shlex.split(command)
            if words[:2] == ["govc", "role.create"]:
                self.create(words[2], words[3:])
            elif words[:3] == ["govc", "role.update", "-a"]:
                known = self.role(words[3])
                self.manager.UpdateAuthorizationRole(known.roleId, words[3], [*known.privilege, *words[4:]])
            elif words[:2] == ["govc", "permissions.set"]:
                flags = dict(zip(words[2:6:2], words[3:6:2], strict=True))
                assert words[6] in ("-propagate=true", "-propagate=false")
                propagate = words[6].endswith("true")
                self.assign(flags["-role"], words[7], propagate=propagate, principal=flags["-principal"])
            else:
                assert command.startswith("#"), command


@pytest.fixture
async def administrator(vcenter: RunningVcenter) -> Administrator:
    return await asyncio.to_thread(Administrator, vcenter)


@pytest.fixture
async def least(vcenter: RunningVcenter, administrator: Administrator) -> Administrator:
    """The account has exactly what `pcg vsphere roles --output govc` gives it, and nothing at the root."""
    script = role_commands.script("govc", configuration_of(vcenter), BARE.name)
    await asyncio.to_thread(administrator.obey, script)
    return administrator


async def check_of(vcenter: RunningVcenter, **placement: str) -> Check:
    async with connect(vcenter, BARE) as connection:
        return await privileges_check(connection, vcenter, **placement)


async def privileges_check(connection: Connection, vcenter: RunningVcenter, **placement: str) -> Check:
    (found,) = [
        one for one in await connection.check(configuration_of(vcenter, **placement)) if one.name == "privileges"
    ]
    return found


def refusal(check: Check) -> PermissionMissing:
    assert check.ok is False
    assert isinstance(check.problem, PermissionMissing)
    return check.problem


def govc_of(problem: PcgError) -> list[str]:
    (line,) = [line for line in problem.remedy if line.startswith("govc: ")]
    return line.removeprefix("govc: ").split("; ")


async def test_the_least_roles_are_enough_for_a_machine_s_whole_life(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    assert (await check_of(vcenter)).ok is True
    async with connect(vcenter, BARE) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        ours = await asyncio.to_thread(least.raw.machine, machine.name)
        change = vim.vm.ConfigSpec(numCPUs=2, memoryMB=2048)
        await asyncio.to_thread(lambda: least.raw.finish(ours.ReconfigVM_Task(change)))
        for kind in ("mend", "start"):
            task = await finish(connection, await connection.start_machine(machine))
            assert (task.kind, task.state) == (kind, TaskState.DONE)
        assert await removed(connection, machine) == ["power-off", "delete"]


LIFE = [one for one in roles.TABLE if not one.for_import and one.id != "VirtualMachine.Config.AddRemoveDevice"]
"""the simulator's template has a network card, so none is ever added"""


@pytest.mark.parametrize("privilege", LIFE, ids=lambda one: one.id)
async def test_each_privilege_is_missed_in_preflight_and_at_run_time(
    vcenter: RunningVcenter, least: Administrator, privilege: roles.Privilege
) -> None:
    """The role lacks exactly this one: preflight names it, the call that needs it names it with object and account."""
    place = "/dc-1/vm/pcg" if privilege.assigned_on is roles.Where.FOLDER else ""
    async with connect(vcenter, BARE) as connection:
        configuration = configuration_of(vcenter)
        machine = None
        if "CloneVM_Task" not in privilege.methods:
            machine = await made(connection, await spec_of(connection, configuration))
            if privilege.id == "VirtualMachine.Interact.PowerOff":
                await finish(connection, await connection.start_machine(machine))
            if privilege.id == "VirtualMachine.Config.RemoveDisk":
                await asyncio.to_thread(attach_disk, least.raw, machine.name)
        await asyncio.to_thread(least.take, roles.ROLE_OF[privilege.assigned_on], privilege.id)

        told = refusal(await privileges_check(connection, vcenter))
        assert told.fields["privilege"] == told.fields["privileges"] == privilege.id
        assert told.fields["why"] == "role-lacks"

        with pytest.raises(PermissionMissing) as missing:
            if machine is None:
                await connection.create_machine(GATEWAY, await spec_of(connection, configuration))
            elif privilege.id == "VirtualMachine.Interact.PowerOn":
                await connection.start_machine(machine)
            else:
                await connection.delete_machine(machine)
    fields = missing.value.fields
    assert (fields["privilege"], fields["account"]) == (privilege.id, BARE.name)
    assert fields["object"].startswith(place or "/dc-1/")
    assert missing.value.reason == "permission-missing"
    assert fields["object"] in missing.value.what and BARE.name in missing.value.what


def attach_disk(raw: Raw, name: str) -> None:
    ours = raw.machine(name)
    disk = next(device for device in ours.config.hardware.device if isinstance(device, vim.vm.device.VirtualDisk))
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName="[ds-1] fcd/v.vmdk", diskMode="persistent")
    added = vim.vm.device.VirtualDisk(
        key=-1, controllerKey=disk.controllerKey, unitNumber=1, capacityInKB=1024, backing=backing
    )
    change = vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=added)
    raw.finish(ours.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))


async def test_mending_hardware_without_the_privilege_names_it(vcenter: RunningVcenter, least: Administrator) -> None:
    async with connect(vcenter, BARE) as connection:
        machine = await made(connection, await spec_of(connection, configuration_of(vcenter)))
        ours = await asyncio.to_thread(least.raw.machine, machine.name)
        await asyncio.to_thread(lambda: least.raw.finish(ours.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=2048))))
        await asyncio.to_thread(least.take, "pcg-machines", "VirtualMachine.Config.Memory")
        with pytest.raises(PermissionMissing) as missing:
            await connection.start_machine(machine)
    assert missing.value.fields["privilege"] == "VirtualMachine.Config.Memory"
    assert missing.value.fields["object"] == f"/dc-1/vm/pcg/{machine.name}"


async def test_an_account_with_nothing_gets_one_table_and_commands_that_mend_it(
    vcenter: RunningVcenter, administrator: Administrator
) -> None:
    problem = refusal(await check_of(vcenter))
    rows = "\n".join(problem.evidence)
    for path in ("vm/pcg", "host/c-1/Resources", "datastore/ds-1", "network/VM Network"):
        assert f"/dc-1/{path}" in rows
    for one in LIFE:
        assert f"{one.id} ({one.label})" in rows
    assert len(problem.evidence) <= 32
    powercli = next(line for line in problem.remedy if line.startswith("PowerCLI: "))
    assert "Set-VIRole" in powercli and "'Network.Assign'" in powercli
    await asyncio.to_thread(administrator.obey, govc_of(problem))
    assert (await check_of(vcenter)).ok is True


async def test_machines_beside_the_template_get_one_role_for_both(
    vcenter: RunningVcenter, administrator: Administrator
) -> None:
    """A second assignment on the folder would take the first one's place."""
    await asyncio.to_thread(administrator.unassign_first_role)
    told = refusal(await check_of(vcenter, folder="spectro-templates"))
    assert told.fields["why"] == "no-permission"
    await asyncio.to_thread(administrator.obey, govc_of(told))
    assert (await check_of(vcenter, folder="spectro-templates")).ok is True
    permissions = await asyncio.to_thread(administrator.permissions_on, "/dc-1/vm/spectro-templates")
    assert permissions == ["pcg-machines+pcg-templates"]


async def test_a_role_that_does_not_propagate_is_said_to_be_the_cause(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    def move_up() -> None:
        least.unassign("/dc-1/vm/pcg")
        least.assign("pcg-machines", "/dc-1/vm", propagate=False)

    await asyncio.to_thread(move_up)
    problem = refusal(await check_of(vcenter))
    assert problem.fields["why"] == "not-propagated"
    assert problem.fields["role"] == "pcg-machines"
    assert "the role pcg-machines on /dc-1/vm has it and does not propagate" in problem.evidence[0]
    await asyncio.to_thread(least.obey, govc_of(problem))
    assert (await check_of(vcenter)).ok is True


async def test_a_nearer_role_that_hides_another_is_said_to_be_the_cause(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    def hide() -> None:
        least.assign("pcg-machines", "/dc-1/vm", propagate=True)
        least.assign("ReadOnly", "/dc-1/vm/pcg", propagate=True)

    await asyncio.to_thread(hide)
    problem = refusal(await check_of(vcenter))
    assert problem.fields["why"] == "hidden"
    assert "ReadOnly on /dc-1/vm/pcg lacks it and hides the role pcg-machines on /dc-1/vm" in problem.evidence[0]
    await asyncio.to_thread(least.obey, govc_of(problem))
    assert (await check_of(vcenter)).ok is True


async def test_a_role_by_way_of_a_group_counts_and_its_lack_names_the_group(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    def by_group() -> None:
        least.unassign("/dc-1/vm/pcg")
        least.assign("pcg-machines", "/dc-1/vm/pcg", propagate=True, principal=GROUP, group=True)

    await asyncio.to_thread(by_group)
    assert (await check_of(vcenter)).ok is True
    await asyncio.to_thread(least.unassign, "/")  # else the account's own role there would be named
    await asyncio.to_thread(least.unassign, "/dc-1")
    await asyncio.to_thread(least.take, "pcg-machines", "VirtualMachine.Interact.PowerOn")
    problem = refusal(await check_of(vcenter))
    assert problem.fields["privileges"] == "VirtualMachine.Interact.PowerOn"
    assert problem.fields["why"] == "group"
    assert f"pcg-machines of the group {GROUP} on /dc-1/vm/pcg lacks it" in problem.evidence[0]


async def test_a_folder_s_role_that_stays_there_cannot_be_told_to_be_enough(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    """vCenter grants all on the folder itself; the machines that will be made in it would get nothing."""
    await asyncio.to_thread(lambda: least.assign("pcg-machines", "/dc-1/vm/pcg", propagate=False))
    found = await check_of(vcenter)
    assert found.ok is None
    assert isinstance(found.problem, PermissionMissing)
    assert found.problem.fields["why"] == "not-propagated"
    assert "VirtualMachine.Interact.PowerOn" in found.problem.evidence[0]
    await asyncio.to_thread(least.obey, govc_of(found.problem))
    assert (await check_of(vcenter)).ok is True


async def test_where_answer_and_permissions_disagree_nothing_is_refused(
    vcenter: RunningVcenter, administrator: Administrator, control: Control
) -> None:
    """A vCenter that shows no permissions as properties is asked for them."""
    await control("/privileges/answers", {"answers": "all"})
    found = await check_of(vcenter)
    assert counters(vcenter)["RetrieveEntityPermissions"] == 5
    assert found.ok is None
    assert "cannot be told" in found.what
    assert found.problem is not None and found.problem.reason == "permission-uncertain"


async def test_a_vcenter_that_answers_one_question_only(
    vcenter: RunningVcenter, least: Administrator, control: Control
) -> None:
    await control("/privileges/answers", {"answers": "fetch"})
    assert (await check_of(vcenter)).ok is True
    await asyncio.to_thread(least.take, "pcg-resources", "Network.Assign")
    assert refusal(await check_of(vcenter)).fields["privileges"] == "Network.Assign"


async def test_a_vcenter_that_answers_no_question(
    vcenter: RunningVcenter, least: Administrator, control: Control
) -> None:
    await control("/privileges/answers", {"answers": "nobody"})
    found = await check_of(vcenter)
    assert found.ok is None
    assert isinstance(found.problem, PcgError)
    assert len(found.problem.evidence) == 2
    assert "privileges" in found.problem.fields["missing"]


def counters(vcenter: RunningVcenter) -> dict[str, int]:
    with urllib.request.urlopen(f"{vcenter.control}/counters", timeout=60) as answer:
        counted: dict[str, int] = json.load(answer)
    return counted


async def test_the_number_of_calls_does_not_grow(program: Path, tmp_path: Path) -> None:
    """With the inventory. What all is missing is read in two calls more, however much it is."""
    counted = []
    for strangers, given in ((1, None), (1, []), (300, None), (300, [])):
        account = Account(BARE.name, BARE.password, privileges=given)
        state = tmp_path / f"{strangers}-{given is None}"
        settings: dict[str, Any] = {"program": program, "accounts": [account], "strangers": strangers}
        async with vcenter_simulator(state, **settings) as vcenter, connect(vcenter, account) as connection:
            before = await asyncio.to_thread(counters, vcenter)
            checks = await connection.check(configuration_of(vcenter))
            assert {one.ok for one in checks if one.name == "privileges"} == {given is None}
            after = await asyncio.to_thread(counters, vcenter)
        counted.append({name: count - before.get(name, 0) for name, count in after.items()})
    assert counted[0] == counted[2]
    assert counted[1] == counted[3]
    assert sum(counted[1].values()) - sum(counted[0].values()) <= 2
    assert counted[0]["HasUserPrivilegeOnEntities"] == 2
    assert sum(counted[0].values()) <= 16


def importing(vcenter: RunningVcenter, folder: str = "spectro-templates") -> Configuration:
    document = configuration_of(vcenter).model_dump(by_alias=True, mode="json")
    document["template"] = {"image": "https://images.example.com/other.ova", "folder": folder}
    return Configuration.model_validate(document)


async def privileges_told(vcenter: RunningVcenter, configuration: Configuration) -> Check:
    async with connect(vcenter, BARE) as connection:
        (found,) = [one for one in await connection.check(configuration) if one.name == "privileges"]
        return found


async def test_an_import_s_privileges_are_asked_for_only_if_one_is_due(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    assert (await privileges_told(vcenter, importing(vcenter))).ok is True
    await asyncio.to_thread(least.take, "pcg-templates", "VApp.Import")
    assert (await check_of(vcenter)).ok is True
    told = refusal(await privileges_told(vcenter, importing(vcenter)))
    assert (told.fields["privileges"], told.fields["object"]) == ("VApp.Import", "/dc-1/vm/spectro-templates")


async def test_a_template_folder_that_is_not_there_needs_its_privileges_above(
    vcenter: RunningVcenter, least: Administrator
) -> None:
    told = refusal(await privileges_told(vcenter, importing(vcenter, "new-templates")))
    assert told.fields["object"] == "/dc-1/vm"
    assert {"Folder.Create", "VirtualMachine.Provisioning.MarkAsTemplate"} <= set(told.fields["privileges"].split(", "))
    await asyncio.to_thread(least.obey, govc_of(told))
    assert (await privileges_told(vcenter, importing(vcenter, "new-templates"))).ok is True


IMPORT = [one for one in roles.TABLE if one.for_import]


def call(raw: Raw, privilege: roles.Privilege) -> Any:
    """The call of the import that needs it, as its own account makes it."""
    pool, folder = raw.cluster.resourcePool, raw.folder("spectro-templates")
    machine = next(child for child in folder.childEntity if child.name == "half")
    spec = vim.vm.VmImportSpec(configSpec=vim.vm.ConfigSpec(name="n"))
    calls: dict[tuple[str, roles.Where], Callable[[], Any]] = {
        ("VApp.Import", roles.Where.POOL): lambda: pool.ImportVApp(spec, folder, None),
        ("VApp.Import", roles.Where.TEMPLATE_FOLDER): lambda: pool.ImportVApp(spec, folder, None),
        ("VirtualMachine.Config.Rename", roles.Where.TEMPLATE): lambda: machine.Rename_Task("whole"),
        ("VirtualMachine.Provisioning.MarkAsTemplate", roles.Where.TEMPLATE): lambda: machine.MarkAsTemplate(),
        ("VirtualMachine.Inventory.Delete", roles.Where.TEMPLATE): lambda: machine.Destroy_Task(),
        ("Folder.Create", roles.Where.TEMPLATE_PARENT): lambda: raw.datacenter.vmFolder.CreateFolder("new"),
    }
    return calls[privilege.id, privilege.on]()


@pytest.mark.parametrize("privilege", IMPORT, ids=lambda one: f"{one.id} on {one.on}")
async def test_each_call_of_an_import_is_refused_without_its_privilege(
    vcenter: RunningVcenter, least: Administrator, privilege: roles.Privilege
) -> None:
    def try_it() -> Any:
        least.raw.finish(least.raw.clone("half", folder="spectro-templates"))
        least.create("parent", ["Folder.Create"])
        least.assign("parent", "/dc-1/vm", propagate=False)
        role = "parent" if privilege.on is roles.Where.TEMPLATE_PARENT else roles.ROLE_OF[privilege.assigned_on]
        least.take(role, privilege.id)
        with pytest.raises(vim.fault.NoPermission) as refused:
            call(Raw(vcenter, BARE), privilege)
        return refused.value

    fault = await asyncio.to_thread(try_it)
    assert fault.privilegeId == privilege.id
    told = translate(fault, account=BARE.name, address=vcenter.address, path_of=lambda one: f"path of {one._moId}")
    assert (told.fields["privilege"], told.fields["account"]) == (privilege.id, BARE.name)
    assert told.fields["object"] == f"path of {fault.object._moId}"


async def test_objects_named_twice_are_asked_once_and_given_one_role(vcenter: RunningVcenter) -> None:
    document = configuration_of(vcenter, folder="spectro-templates")
    assigned = {one.path: one for one in role_commands.assigned_for(document)}
    both = assigned["/dc-1/vm/spectro-templates"]
    assert both == Assigned("pcg-machines+pcg-templates", both.path, True, both.note)
    assert set(role_commands.privileges_of(both.role)) >= {
        "VirtualMachine.Interact.PowerOn",
        "VirtualMachine.Provisioning.DeployTemplate",
    }
