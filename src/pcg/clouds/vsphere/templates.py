"""The node image: the template in the template folder, and how a machine's clone of it is specified.

Used by `cloud.py` (find it) and `machines.py` (clone it). All functions block and run in the session's threads.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping
from typing import Any

from pcg.clouds.base import MachineSpec
from pcg.clouds.vsphere import inventory
from pcg.clouds.vsphere.inventory import Properties, read, read_one, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place, Survey
from pcg.clouds.vsphere.vmomi import vim
from pcg.errors import NotFound
from pcg.model.configuration import Configuration, CustomSize
from pcg.model.naming import MARK_INSTANCE

HARDWARE_SETTING = "pcg.hardware"
"""advanced setting with the wanted CPUs, GiB of memory and GiB of disk: whoever starts the machine compares with it"""
DISKS_SETTING = "pcg.disks"
"""advanced setting with the device keys of the disks that came with the clone: others are not ours"""
USER_DATA = "guestinfo.userdata"
METADATA = "guestinfo.metadata"
NO_USER_DATA = "---"
"""what cloud-init's VMware data source takes for nothing, and writes itself where it is told to redact"""
TEMPLATE_PATHS = ["name", "config.template", "config.hardware.device", "runtime.powerState"]


def find_template(session: VsphereSession, survey: Survey, configuration: Configuration) -> str:
    """The template's managed object id. Raises NotFound with what lies in the folder instead."""
    datacenter, folder = survey.template_folder(configuration)
    children = read(
        session,
        [(folder.object, [traversal("children", vim.Folder, "childEntity")], True)],
        [(vim.VirtualMachine, ["name", "config.template"])],
    )
    wanted = configuration.template.name
    names = {inventory.plain_name(child.get("name", "")): child for child in children}
    child = names.get(wanted)
    if child is not None and child.get("config.template"):
        return inventory.moid(child["object"])
    where = f"/{datacenter.path}/vm/{folder.path}"
    if child is not None:
        raise NotFound(
            f"{wanted} in {where} is a virtual machine, not a template.",
            reason="template-not-converted",
            evidence=[f"found: {where}/{wanted}, config.template is false"],
            remedy=["Convert it to a template in vCenter."],
            fields={"kind": "template", "name": wanted, "folder": where},
        )
    near = difflib.get_close_matches(wanted, sorted(names), n=5, cutoff=0.4)
    raise NotFound(
        f"The template {wanted} does not exist in {where}.",
        reason="template-not-found",
        evidence=[f"in the folder: {', '.join(sorted(names)) or 'nothing'}", *(f"similar: {name}" for name in near)],
        remedy=[f"Import the node image as a template named {wanted} into {where}."],
        fields={"kind": "template", "name": wanted, "folder": where, "near": ", ".join(near)},
    )


def read_template(session: VsphereSession, template: str) -> Properties:
    return read_one(session, vim.VirtualMachine(template, session.stub), TEMPLATE_PATHS)


def clone_spec(spec: MachineSpec, place: Place, devices: list[Any], network: Any) -> Any:
    """What CloneVM_Task gets. `devices` are the template's, `network` the backing that `network_backing` made.

    Marks, identity and guest data stand in this one call, so that no machine of ours is ever without them.
    """
    changes = [_network_change(devices, network), *_disk_change(devices, spec.hardware)]
    disks = sorted(device.key for device in devices if isinstance(device, vim.vm.device.VirtualDisk))
    settings = {
        **spec.marks,
        HARDWARE_SETTING: f"{spec.hardware.cpus},{spec.hardware.memory_gi_b},{spec.hardware.disk_gi_b}",
        DISKS_SETTING: ",".join(str(key) for key in disks),
        METADATA: _encoded(spec.meta_data),
        f"{METADATA}.encoding": "base64",
        USER_DATA: _encoded(spec.user_data),
        f"{USER_DATA}.encoding": "base64",
        "disk.EnableUUID": "TRUE",  # storage drivers find disks by it
    }
    return vim.vm.CloneSpec(
        location=vim.vm.RelocateSpec(
            folder=place.folder.object,
            pool=place.pool.object,
            datastore=place.datastore.object,
        ),
        config=vim.vm.ConfigSpec(
            numCPUs=spec.hardware.cpus,
            memoryMB=spec.hardware.memory_gi_b * 1024,
            instanceUuid=spec.marks[MARK_INSTANCE],
            deviceChange=changes,
            extraConfig=_options(settings),
            annotation=f"Machine {spec.name} of a private cloud gateway. Do not change it by hand.",
        ),
        powerOn=False,
        template=False,
    )


def without_user_data() -> Any:
    """What ReconfigVM_Task gets once the machine has joined. An empty value removes the setting."""
    return vim.vm.ConfigSpec(extraConfig=_options({USER_DATA: NO_USER_DATA, f"{USER_DATA}.encoding": ""}))


def holds_user_data(settings: Mapping[str, str]) -> bool:
    return settings.get(USER_DATA, NO_USER_DATA).strip() not in ("", NO_USER_DATA)


def network_backing(session: VsphereSession, network: Any) -> Any:
    """How a network card is tied to a network: by name, by port group, or by an opaque network's id."""
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(network, vim.dvs.DistributedVirtualPortgroup):
        group = read_one(session, network, ["key", "config.distributedVirtualSwitch"])
        switch = read_one(session, group["config.distributedVirtualSwitch"], ["uuid"])
        port = vim.dvs.PortConnection(portgroupKey=group["key"], switchUuid=switch["uuid"])
        return card.DistributedVirtualPortBackingInfo(port=port)
    if isinstance(network, vim.OpaqueNetwork):
        summary = read_one(session, network, ["summary"])["summary"]
        return card.OpaqueNetworkBackingInfo(
            opaqueNetworkId=summary.opaqueNetworkId, opaqueNetworkType=summary.opaqueNetworkType
        )
    name = read_one(session, network, ["name"])["name"]
    return card.NetworkBackingInfo(network=network, deviceName=inventory.plain_name(name))


def _options(settings: Mapping[str, str]) -> list[Any]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in settings.items()]


def _network_change(devices: list[Any], backing: Any) -> Any:
    operation = vim.vm.device.VirtualDeviceSpec.Operation
    cards = [device for device in devices if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    if not cards:
        card = vim.vm.device.VirtualVmxnet3(key=-1, backing=backing, addressType="generated")
        card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=True, connected=True, allowGuestControl=True
        )
        return vim.vm.device.VirtualDeviceSpec(operation=operation.add, device=card)
    card = min(cards, key=lambda device: int(device.key))
    card.backing = backing
    card.addressType = "generated"  # never the template's own address
    card.macAddress = None
    return vim.vm.device.VirtualDeviceSpec(operation=operation.edit, device=card)


def _disk_change(devices: list[Any], hardware: CustomSize) -> list[Any]:
    """Grow the first disk to the wanted size; a larger one of the template stays, disks cannot shrink."""
    disks = [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
    wanted = hardware.disk_gi_b * 1024 * 1024
    if not disks:
        return []
    disk = min(disks, key=lambda device: int(device.key))
    if disk.capacityInKB >= wanted:
        return []
    disk.capacityInKB = wanted
    disk.capacityInBytes = wanted * 1024
    operation = vim.vm.device.VirtualDeviceSpec.Operation.edit
    return [vim.vm.device.VirtualDeviceSpec(operation=operation, device=disk)]


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
