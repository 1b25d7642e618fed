"""The one table of privileges: which, on which object, why; and the least-privilege roles that follow from it.

Read by `privileges.py` (preflight asks vCenter for exactly these), by `role_commands.py` and `pcg vsphere roles` (which
print the roles), and held against the driver's code by tests: what the code never calls is not asked for. Sources:
"Required Privileges" of each method in VMware's API reference (pyVmomi carries many of them), the "Reconfigure
privilege" of each property of VirtualMachineConfigSpec, and the table of common tasks in VMware's security guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

IMPORT_METHODS = frozenset({"CreateFolder", "CreateImportSpec", "ImportVApp", "MarkAsTemplate", "Rename_Task"})
"""called only when the node image is imported; needed by nobody whose template lies there already"""
IMPORT_METHODS_WITHOUT_PRIVILEGE = frozenset({"HttpNfcLeaseAbort", "HttpNfcLeaseComplete", "HttpNfcLeaseProgress"})
"""of the import too: whoever got the lease may use it"""

READ_ONLY = "ReadOnly"
"""vCenter's own role with System.Anonymous, System.View and System.Read, which every role of one's own has too"""


class Where(StrEnum):
    """An object on which vCenter looks for a privilege."""

    ROOT = "vCenter root"
    DATACENTER = "datacenter"
    CLUSTER = "cluster"
    POOL = "resource pool"
    FOLDER = "folder of the machines"
    MACHINE = "machines"
    TEMPLATE_PARENT = "folder above the template folder"
    TEMPLATE_FOLDER = "template folder"
    TEMPLATE = "template"
    DATASTORE = "datastore"
    NETWORK = "network"
    SWITCH = "distributed switch"


INHERITED_FROM = {
    Where.MACHINE: Where.FOLDER,
    Where.TEMPLATE: Where.TEMPLATE_FOLDER,
}
"""objects that come and go: the role is assigned on their parent and propagates"""


@dataclass(frozen=True)
class Privilege:
    """`methods` of the vSphere API that the driver calls and that need it; `why` for a person."""

    id: str
    label: str
    """as the vSphere Client names it, with its group"""
    on: Where
    methods: tuple[str, ...]
    why: str

    @property
    def assigned_on(self) -> Where:
        return INHERITED_FROM.get(self.on, self.on)

    @property
    def propagates(self) -> bool:
        """Whether the assignment must reach the children of `assigned_on`."""
        return self.on in INHERITED_FROM

    @property
    def for_import(self) -> bool:
        """Needed only while the gateway imports the node image itself."""
        in_templates = self.on in (Where.TEMPLATE, Where.TEMPLATE_FOLDER) and "CloneVM_Task" not in self.methods
        return in_templates or IMPORT_METHODS.issuperset(self.methods)


_CHANGE = "Virtual machine > Change Configuration > "
_CLONE, _RECONFIGURE = "CloneVM_Task", "ReconfigVM_Task"

TABLE: tuple[Privilege, ...] = (
    Privilege(
        "VirtualMachine.Provisioning.DeployTemplate",
        "Virtual machine > Provisioning > Deploy template",
        Where.TEMPLATE,
        (_CLONE,),
        "each machine is a clone of the template",
    ),
    Privilege(
        "VirtualMachine.Inventory.CreateFromExisting",
        "Virtual machine > Edit Inventory > Create from existing",
        Where.FOLDER,
        (_CLONE,),
        "the clone is made in this folder",
    ),
    Privilege(
        "VirtualMachine.Config.AddNewDisk",
        f"{_CHANGE}Add new disk",
        Where.FOLDER,
        (_CLONE,),
        "the clone gets disks of its own",
    ),
    Privilege(
        "VirtualMachine.Config.AddRemoveDevice",
        f"{_CHANGE}Add or remove device",
        Where.MACHINE,
        (_CLONE,),
        "a template without a network card gets one",
    ),
    Privilege(
        "VirtualMachine.Config.AdvancedConfig",
        f"{_CHANGE}Advanced configuration",
        Where.MACHINE,
        (_CLONE, _RECONFIGURE),
        "the marks that say whose machine it is, and its cloud-init data, which is taken out again after the join",
    ),
    Privilege(
        "VirtualMachine.Config.Annotation",
        f"{_CHANGE}Set annotation",
        Where.MACHINE,
        (_CLONE,),
        "the note that tells people whose machine it is",
    ),
    Privilege(
        "VirtualMachine.Config.CPUCount",
        f"{_CHANGE}Change CPU count",
        Where.MACHINE,
        (_CLONE, _RECONFIGURE),
        "the machine's size, set when it is made and mended before its start",
    ),
    Privilege(
        "VirtualMachine.Config.DiskExtend",
        f"{_CHANGE}Extend virtual disk",
        Where.MACHINE,
        (_CLONE,),
        "the disk grows from the template's size to the wanted one",
    ),
    Privilege(
        "VirtualMachine.Config.EditDevice",
        f"{_CHANGE}Modify device settings",
        Where.MACHINE,
        (_CLONE,),
        "the template's network card is tied to the chosen network",
    ),
    Privilege(
        "VirtualMachine.Config.Memory",
        f"{_CHANGE}Change Memory",
        Where.MACHINE,
        (_CLONE, _RECONFIGURE),
        "the machine's size, set when it is made and mended before its start",
    ),
    Privilege(
        "VirtualMachine.Config.RemoveDisk",
        f"{_CHANGE}Remove disk",
        Where.MACHINE,
        (_RECONFIGURE,),
        "disks that somebody else attached are detached before a machine is removed",
    ),
    Privilege(
        "VirtualMachine.Config.Settings",
        f"{_CHANGE}Change Settings",
        Where.MACHINE,
        (_CLONE,),
        "the instance UUID by which the gateway knows its own machine from a copy",
    ),
    Privilege(
        "VirtualMachine.Interact.PowerOn",
        "Virtual machine > Interaction > Power on",
        Where.MACHINE,
        ("PowerOnVM_Task",),
        "machines are started",
    ),
    Privilege(
        "VirtualMachine.Interact.PowerOff",
        "Virtual machine > Interaction > Power off",
        Where.MACHINE,
        ("PowerOffVM_Task",),
        "a machine is switched off before it is removed",
    ),
    Privilege(
        "VirtualMachine.Inventory.Delete",
        "Virtual machine > Edit Inventory > Remove",
        Where.MACHINE,
        ("Destroy_Task",),
        "machines that are no longer wanted are removed",
    ),
    Privilege(
        "Resource.AssignVMToPool",
        "Resource > Assign virtual machine to resource pool",
        Where.POOL,
        (_CLONE,),
        "machines run in this pool",
    ),
    Privilege(
        "Datastore.AllocateSpace",
        "Datastore > Allocate space",
        Where.DATASTORE,
        (_CLONE, "CreateImportSpec"),
        "disks of machines and of the template lie here",
    ),
    Privilege(
        "Network.Assign",
        "Network > Assign network",
        Where.NETWORK,
        (_CLONE, "ImportVApp"),
        "network cards are tied to this network",
    ),
    Privilege(
        "VApp.Import",
        "vApp > Import",
        Where.POOL,
        ("CreateImportSpec", "ImportVApp"),
        "the node image is imported by way of this pool",
    ),
    Privilege(
        "VApp.Import",
        "vApp > Import",
        Where.TEMPLATE_FOLDER,
        ("ImportVApp",),
        "the node image is imported into this folder",
    ),
    Privilege(
        "VirtualMachine.Config.Rename",
        f"{_CHANGE}Rename",
        Where.TEMPLATE,
        ("Rename_Task",),
        "an import bears its final name only after its checksum was right",
    ),
    Privilege(
        "VirtualMachine.Provisioning.MarkAsTemplate",
        "Virtual machine > Provisioning > Mark as template",
        Where.TEMPLATE,
        ("MarkAsTemplate",),
        "an import becomes a template only after its checksum was right",
    ),
    Privilege(
        "VirtualMachine.Inventory.Delete",
        "Virtual machine > Edit Inventory > Remove",
        Where.TEMPLATE,
        ("Destroy_Task",),
        "the rest of a broken import is removed",
    ),
    Privilege(
        "Folder.Create",
        "Folder > Create folder",
        Where.TEMPLATE_PARENT,
        ("CreateFolder",),
        "only if the template folder does not exist yet; make it beforehand and this is not needed",
    ),
)

METHODS_DONE_WITHOUT = frozenset({"QueryDateTime"})
"""need a privilege (Host.Config.DateTime) that the roles leave out: where it is refused, the check of the hosts' clocks
says less"""

METHODS_WITHOUT_PRIVILEGE = frozenset(
    {
        "CancelWaitForUpdates",
        "ContinueRetrievePropertiesEx",
        "CurrentTime",
        "CreateContainerView",
        "CreateFilter",
        "CreatePropertyCollector",
        "DestroyPropertyCollector",
        "DestroyPropertyFilter",
        "DestroyView",
        "FetchUserPrivilegeOnEntities",
        "FindByUuid",
        "HasUserPrivilegeOnEntities",
        "Login",
        "Logout",
        "QueryEvents",
        "RetrieveContent",
        "RetrieveEntityPermissions",
        "RetrievePropertiesEx",
        "WaitForUpdatesEx",
    }
)
"""what else the driver calls: reading, which the role ReadOnly is enough for, and its own session"""


@dataclass(frozen=True)
class Assignment:
    """A role on one kind of object; of several roles (joined by +) the privileges of all."""

    role: str
    on: Where
    propagates: bool
    note: str = ""
    optional: bool = False
    """`note` says when it is needed"""


ROLE_OF = {
    Where.FOLDER: "pcg-machines",
    Where.TEMPLATE_FOLDER: "pcg-templates",
    Where.POOL: "pcg-resources",
    Where.DATASTORE: "pcg-resources",
    Where.NETWORK: "pcg-resources",
    Where.TEMPLATE_PARENT: "pcg-folders",
}
"""Pool, datastore and network share a role: none of its privileges means anything on the other two."""

ASSIGNMENTS: tuple[Assignment, ...] = (
    Assignment(READ_ONLY, Where.ROOT, False, "to find the datacenter"),
    Assignment(READ_ONLY, Where.DATACENTER, False, "to find what the placement names"),
    Assignment(READ_ONLY, Where.CLUSTER, True, "to see the cluster and its hosts"),
    Assignment(READ_ONLY, Where.SWITCH, False, "only for a distributed port group", optional=True),
    Assignment("pcg-machines", Where.FOLDER, True, "the machines in it inherit it"),
    Assignment("pcg-templates", Where.TEMPLATE_FOLDER, True, "the templates in it inherit it"),
    Assignment("pcg-resources", Where.POOL, False),
    Assignment("pcg-resources", Where.DATASTORE, False),
    Assignment("pcg-resources", Where.NETWORK, False),
    Assignment(
        "pcg-folders+pcg-templates",
        Where.TEMPLATE_PARENT,
        True,
        "only if the gateway shall make the template folder itself; make it beforehand and this is not needed",
        optional=True,
    ),
)


def least(*roles: str) -> list[str]:
    """Every privilege of these roles (of all when none is named), sorted."""
    wanted = set(roles) or set(ROLE_OF.values())
    return sorted({one.id for one in TABLE if ROLE_OF[one.assigned_on] in wanted})


def needed_on(where: Where) -> list[Privilege]:
    """What an assignment on this object must bring, its children included."""
    return [one for one in TABLE if one.assigned_on is where]


def label_of(privilege: str) -> str:
    """The vSphere Client's words; the id itself for one that is not in the table."""
    return next((one.label for one in TABLE if one.id == privilege), privilege)
