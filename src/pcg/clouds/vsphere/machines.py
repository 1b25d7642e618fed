"""Our machines in vCenter: seen in one bulk read, made with their marks, started, and removed.

Used by `cloud.py`. All functions block and run in the session's threads. Only machines that carry our marks and whose
instanceUuid equals the mark `pcg.instance` are ever changed; a person's copy of one is reported and left alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from datetime import datetime
from typing import Any

from pcg.clouds.base import MachineSpec, ObservedMachine, PowerState
from pcg.clouds.vsphere import templates
from pcg.clouds.vsphere.inventory import Properties, folders_down, moid, plain_name, read, read_one, traversal
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import Conflict, GiveUp
from pcg.model.naming import MARK_ADDRESS, MARK_GATEWAY, MARK_INSTANCE, MARK_MACHINE, MARK_MADE_FROM

MACHINE_PATHS = [
    "name",
    "config.template",
    "config.instanceUuid",
    "config.extraConfig",
    "config.createDate",
    "config.files.vmPathName",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "runtime.powerState",
    "guest.ipAddress",
    "guest.net",
    "guest.hostName",
    "guest.toolsRunningStatus",
]
NAME_BEGINS = "pcg-"
"""as `model.naming.machine_name` makes them"""
NOTE_HAS = "of a private cloud gateway"
"""as `templates.clone_spec` writes it into the annotation"""
_MARKS = (MARK_GATEWAY, MARK_MACHINE, MARK_INSTANCE, MARK_ADDRESS, MARK_MADE_FROM)
_POWER = {"poweredOn": PowerState.ON, "poweredOff": PowerState.OFF, "suspended": PowerState.SUSPENDED}


def folders_of(session: VsphereSession, gateway_id: str) -> set[Any]:
    """Every folder in the whole inventory that holds a machine with our mark: four calls, for the first look only.

    Later looks read these folders alone; so does a gateway that was restarted and no longer knows where it placed
    its machines. Marks lie in a machine's settings, which are long, so they are read of those alone whose name or note
    says that a gateway made them: of ten thousand machines of others the settings would be tens of megabytes. One of
    ours that a person moved away, renamed and gave another note is missed; its instance id then keeps it from being
    made twice (`create`).
    """
    view = session.content.viewManager.CreateContainerView(session.content.rootFolder, [vim.VirtualMachine], True)
    try:
        step = traversal("in view", vim.view.ContainerView, "view")
        every = read(session, [(view, [step], True)], [(vim.VirtualMachine, ["name", "config.annotation"])])
    finally:
        view.DestroyView()
    likely = [(item["object"], (), False) for item in every if _may_be_of_a_gateway(item)]
    found = read(session, likely, [(vim.VirtualMachine, ["parent", "config.extraConfig"])])
    ours = [item for item in found if _settings(item).get(MARK_GATEWAY) == gateway_id]
    return {item["parent"] for item in ours if item.get("parent") is not None}


def list_machines(session: VsphereSession, folders: Collection[Any], gateway_id: str) -> list[ObservedMachine]:
    """Our machines in `folders` and below: one call."""
    found = read(
        session,
        [(folder, [folders_down()], True) for folder in sorted(folders, key=moid)],
        [(vim.VirtualMachine, MACHINE_PATHS)],
    )
    for item in found:
        fault = item["hidden"].get("config.extraConfig")
        if fault is not None and str(item.get("name", NAME_BEGINS)).startswith(NAME_BEGINS):
            raise fault  # it may be ours; to take it for a stranger's would make it a second time
    observed = {moid(item["object"]): observe(item) for item in found if not item.get("config.template")}
    return [machine for machine in observed.values() if machine.marks.get(MARK_GATEWAY) == gateway_id]


def observe(item: Properties) -> ObservedMachine:
    """What was read, in the contract's words."""
    settings = _settings(item)
    cpus, memory = item.get("config.hardware.numCPU"), item.get("config.hardware.memoryMB")
    created: datetime | None = item.get("config.createDate")
    tools = item.get("guest.toolsRunningStatus")
    return ObservedMachine(
        id=moid(item["object"]),
        name=plain_name(item.get("name", "")),
        instance=item.get("config.instanceUuid") or "",
        marks={key: settings[key] for key in _MARKS if key in settings},
        power=_POWER.get(str(item.get("runtime.powerState")), PowerState.OFF),
        address=_address(item),
        hardware=(int(cpus), int(memory) // 1024) if cpus and memory else None,
        created=created.timestamp() if created else None,
        cluster_tools=None if tools is None else tools == "guestToolsRunning",
        host_name=item.get("guest.hostName") or "",
        dhcp=_asks_for_lease(item),
        connected=_connected(item),
        foreign_disks=[_file_of(disk) for disk in foreign_disks(item)],
        holds_user_data=templates.holds_user_data(settings),
    )


def create(session: VsphereSession, spec: MachineSpec, place: Place) -> Any:
    """Start the clone; answers vCenter's task. Raises Conflict when the instance id is in use already."""
    instance = spec.marks[MARK_INSTANCE]
    taken = session.content.searchIndex.FindByUuid(None, instance, True, True)
    if taken is not None:
        raise Conflict(
            f"A machine with the instance id of {spec.name} exists already.",
            reason="instance-exists",
            evidence=[f"machine {moid(taken)} has instanceUuid {instance}"],
            fields={"name": spec.name, "object": moid(taken), "instance": instance},
        )
    template = templates.read_template(session, spec.template)
    network = templates.network_backing(session, place.network.object)
    clone = templates.clone_spec(spec, place, list(template["config.hardware.device"]), network)
    return template["object"].CloneVM_Task(folder=place.folder.object, name=spec.name, spec=clone)


def start(session: VsphereSession, machine: ObservedMachine, mended: set[str]) -> tuple[str, Any]:
    """Start the next task that the machine needs to run: mending its hardware or powering it on, and its kind.

    The task is None when it runs already. `mended` are the machines that this connection has mended once.
    """
    item = _fresh(session, machine)
    if item is None:
        raise GiveUp(f"The machine {machine.name} is gone.", reason="object-gone", fields={"object": machine.id})
    if str(item.get("runtime.powerState")) == "poweredOn":
        return "start", None
    change = _hardware_change(item)
    if change is not None:
        if machine.id in mended:
            raise GiveUp(
                f"vCenter does not apply CPU and memory of {machine.name}.",
                reason="hardware-not-applied",
                evidence=[f"has: {item.get('config.hardware.numCPU')} CPUs, {item.get('config.hardware.memoryMB')} MB"],
                fields={"object": machine.id},
            )
        mended.add(machine.id)
        return "mend", item["object"].ReconfigVM_Task(change)
    return "start", item["object"].PowerOnVM_Task(None)


def clear_user_data(session: VsphereSession, machine: ObservedMachine) -> tuple[str, Any]:
    """Start taking the user data out of its settings; the task is None when there is none, or no machine."""
    item = _fresh(session, machine)
    if item is None or not templates.holds_user_data(_settings(item)):
        return "reconfigure", None
    return "reconfigure", item["object"].ReconfigVM_Task(templates.without_user_data())


def delete(session: VsphereSession, machine: ObservedMachine) -> tuple[str, Any]:
    """Start the next task on the way to removal (power off, detach, destroy), and its kind; None when it is gone."""
    item = _fresh(session, machine)
    if item is None:
        return "delete", None
    if str(item.get("runtime.powerState")) != "poweredOff":
        return "power-off", item["object"].PowerOffVM_Task()
    foreign = foreign_disks(item)
    if foreign:
        operation = vim.vm.device.VirtualDeviceSpec.Operation.remove
        # Without a file operation the file stays: it belongs to somebody else.
        changes = [vim.vm.device.VirtualDeviceSpec(operation=operation, device=disk) for disk in foreign]
        return "detach", item["object"].ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes))
    return "delete", item["object"].Destroy_Task()


def foreign_disks(item: Properties) -> list[Any]:
    """Disks that we did not make. In doubt a disk is foreign: a file too many is better than data lost."""
    home = _directory(str(item.get("config.files.vmPathName") or ""))
    known = _settings(item).get(templates.DISKS_SETTING)
    ours = set(known.split(",")) if known is not None else None
    foreign = []
    for device in item.get("config.hardware.device") or []:
        if not isinstance(device, vim.vm.device.VirtualDisk):
            continue
        volume = getattr(device, "vDiskId", None)  # a disk with a life of its own, for example a container volume
        elsewhere = _directory(_file_of(device)) != home
        if volume or elsewhere or (ours is not None and str(device.key) not in ours):
            foreign.append(device)
    return foreign


def _fresh(session: VsphereSession, machine: ObservedMachine) -> Properties | None:
    """The machine as it is now; None when it is gone. Raises GiveUp for one that is not ours to touch."""
    try:
        item = read_one(session, vim.VirtualMachine(machine.id, session.stub), MACHINE_PATHS)
    except vmodl.fault.ManagedObjectNotFound:
        return None
    now = observe(item)
    if not now.genuine or not machine.genuine or now.marks != machine.marks:
        raise GiveUp(
            f"{now.name} is not a machine that this gateway made; it is left alone.",
            reason="machine-copied",
            evidence=[f"its instanceUuid is {now.instance}, its mark says {now.marks.get(MARK_INSTANCE, 'nothing')}"],
            remedy=["If it is a copy that nobody needs, remove it in vCenter."],
            fields={"object": machine.id, "name": now.name},
        )
    return item


def wanted_hardware(item: Properties) -> tuple[int, int] | None:
    """CPUs and MiB of memory by its setting; None: nobody said what it should be."""
    parts = _settings(item).get(templates.HARDWARE_SETTING, "").split(",")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1]) * 1024


def _hardware_change(item: Properties) -> Any:
    wanted = wanted_hardware(item)
    if wanted in (None, (item.get("config.hardware.numCPU"), item.get("config.hardware.memoryMB"))):
        return None
    cpus, memory = wanted
    return vim.vm.ConfigSpec(numCPUs=cpus, memoryMB=memory)


def _may_be_of_a_gateway(item: Properties) -> bool:
    return str(item.get("name", NAME_BEGINS)).startswith(NAME_BEGINS) or NOTE_HAS in str(item.get("config.annotation"))


def _settings(item: Properties) -> dict[str, str]:
    return {option.key: str(option.value) for option in item.get("config.extraConfig") or []}


def _address(item: Properties) -> str | None:
    """The guest's first usable address: the primary one, else that of a card; never link-local."""
    candidates = [item.get("guest.ipAddress") or ""]
    for card in item.get("guest.net") or []:
        candidates += sorted(card.ipAddress or [], key=lambda text: ":" in text)
    for text in candidates:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if not address.is_link_local and not address.is_unspecified:
            return str(address)
    return None


def _connected(item: Properties) -> bool | None:
    """Of its cards, whether any is connected; None without a card, or where vCenter does not tell."""
    cards = [
        card for card in item.get("config.hardware.device") or [] if isinstance(card, vim.vm.device.VirtualEthernetCard)
    ]
    told = [bool(card.connectable.connected) for card in cards if card.connectable is not None]
    return any(told) if told else None


def _asks_for_lease(item: Properties) -> bool | None:
    """None where the guest agent does not tell how its cards are configured."""
    told = [
        bool(card.ipConfig.dhcp.ipv4.enable)
        for card in item.get("guest.net") or []
        if card.ipConfig is not None and card.ipConfig.dhcp is not None and card.ipConfig.dhcp.ipv4 is not None
    ]
    return any(told) if told else None


def _file_of(disk: Any) -> str:
    return str(getattr(disk.backing, "fileName", "") or f"disk {disk.key}")


def _directory(path: str) -> str:
    return path.rpartition("/")[0]
