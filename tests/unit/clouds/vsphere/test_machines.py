"""What is made of a bulk read, and what of a machine's specification; no vCenter."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pyVmomi import vim

from pcg.clouds.base import MachineSpec, PowerState
from pcg.clouds.vsphere.inventory import Candidate
from pcg.clouds.vsphere.machines import NOTE_HAS, foreign_disks, observe
from pcg.clouds.vsphere.survey import Place
from pcg.clouds.vsphere.templates import clone_spec
from pcg.model.configuration import CustomSize, Placement
from pcg.model.naming import MARK_GATEWAY, MARK_INSTANCE, MARK_MACHINE

MARKS = {MARK_GATEWAY: "g1", MARK_MACHINE: "1/1", MARK_INSTANCE: "uuid-1"}


def disk(key: int, path: str, volume: str | None = None) -> Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=path, diskMode="persistent")
    made = vim.vm.device.VirtualDisk(key=key, capacityInKB=20 * 1024 * 1024, backing=backing)
    if volume:
        made.vDiskId = vim.vslm.ID(id=volume)
    return made


def item(settings: dict[str, str], **values: Any) -> dict[str, Any]:
    return {
        "object": vim.VirtualMachine("vm-1", None),
        "name": "n1",
        "config.instanceUuid": "uuid-1",
        "config.extraConfig": [vim.option.OptionValue(key=key, value=value) for key, value in settings.items()],
        "config.files.vmPathName": "[ds-1] n1/n1.vmx",
        "config.hardware.numCPU": 4,
        "config.hardware.memoryMB": 8192,
        "runtime.powerState": "poweredOn",
        **values,
    }


def test_a_machine_is_genuine_only_with_its_own_instance_id() -> None:
    assert observe(item(MARKS)).genuine
    assert observe(item({**MARKS, "pcg.address": "10.0.0.9", "other": "1"})).marks == {
        **MARKS,
        "pcg.address": "10.0.0.9",
    }
    assert not observe(item(MARKS, **{"config.instanceUuid": "uuid-2"})).genuine
    assert not observe(item({})).genuine


@pytest.mark.parametrize(
    ("primary", "cards", "address"),
    [
        ("10.0.0.5", [], "10.0.0.5"),
        (None, [], None),
        ("fe80::1", [["fe80::1", "10.0.0.6"]], "10.0.0.6"),
        ("169.254.3.4", [["169.254.3.4"]], None),
        ("2001:db8::5", [], "2001:db8::5"),
    ],
)
def test_the_address_is_a_usable_one(primary: str | None, cards: list[list[str]], address: str | None) -> None:
    net = [vim.vm.GuestInfo.NicInfo(ipAddress=addresses, connected=True, deviceConfigId=4000) for addresses in cards]
    seen = observe(item(MARKS, **{"guest.ipAddress": primary, "guest.net": net}))
    assert (seen.address, seen.power, seen.hardware) == (address, PowerState.ON, (4, 8))


def test_foreign_are_disks_elsewhere_volumes_and_those_that_did_not_come_with_the_clone() -> None:
    disks = [
        disk(2000, "[ds-1] n1/n1.vmdk"),
        disk(2001, "[ds-1] fcd/a.vmdk"),
        disk(2002, "[ds-1] n1/volume.vmdk", volume="v1"),
        disk(2003, "[ds-1] n1/by-hand.vmdk"),
    ]
    seen = item({**MARKS, "pcg.disks": "2000"}, **{"config.hardware.device": disks})
    assert [found.key for found in foreign_disks(seen)] == [2001, 2002, 2003]
    unknown = item(MARKS, **{"config.hardware.device": disks})
    assert [found.key for found in foreign_disks(unknown)] == [2001, 2002]


def test_the_clone_carries_marks_identity_hardware_and_guest_data_in_one_call() -> None:
    some = Candidate("x", None, {})
    place = Place(some, some, some, some, some, some)
    spec = MachineSpec(
        name="pcg-a-g1-1-1",
        marks=MARKS,
        placement=Placement(datacenter="d", cluster="c", datastore="s", network="n"),
        template="vm-9",
        hardware=CustomSize(cpus=4, memory_gi_b=8, disk_gi_b=60),
        user_data="#cloud-config\npassword: geheim\n",
        meta_data="instance-id: ü\n",
    )
    card = vim.vm.device.VirtualVmxnet3(key=4000, macAddress="00:50:56:00:00:01", addressType="manual")
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    made = clone_spec(spec, place, [disk(2000, "[ds-1] t/t.vmdk"), card], backing)
    settings = {option.key: option.value for option in made.config.extraConfig}
    assert MARKS.items() <= settings.items()
    assert made.config.instanceUuid == "uuid-1"
    assert (made.config.numCPUs, made.config.memoryMB, made.powerOn) == (4, 8192, False)
    assert base64.b64decode(settings["guestinfo.metadata"]).decode() == spec.meta_data
    network, grown = made.config.deviceChange
    assert (network.device.backing, network.device.macAddress) == (backing, None)
    assert grown.device.capacityInKB == 60 * 1024 * 1024
    assert "geheim" not in repr(spec)
    assert NOTE_HAS in made.config.annotation, "by it a machine of ours is found after it was moved and renamed"


def test_a_template_without_a_card_gets_one_and_a_large_disk_stays() -> None:
    some = Candidate("x", None, {})
    spec = MachineSpec(
        name="n",
        marks=MARKS,
        placement=Placement(datacenter="d", cluster="c", datastore="s", network="n"),
        template="vm-9",
        hardware=CustomSize(cpus=2, memory_gi_b=2, disk_gi_b=20),
        user_data="",
        meta_data="",
    )
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    made = clone_spec(spec, Place(some, some, some, some, some, some), [disk(2000, "[ds-1] t/t.vmdk")], backing)
    (network,) = made.config.deviceChange
    assert network.operation == "add"
