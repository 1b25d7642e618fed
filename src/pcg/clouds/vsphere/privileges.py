"""Which privileges the gateway's account needs on which objects, and whether it has them.

Used by `cloud.py` in preflight. Source: VMware's API reference, "Required Privileges" of the methods that
this driver calls; only what it uses is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.vsphere.inventory import Place, moid
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vmodl
from pcg.errors import PermissionMissing

ON_TEMPLATE = ["VirtualMachine.Provisioning.DeployTemplate"]
ON_FOLDER = [
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Config.DiskExtend",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.RemoveDisk",
]
"""needed on the machines, which inherit them from their folder"""
ON_POOL = ["Resource.AssignVMToPool"]
ON_DATASTORE = ["Datastore.AllocateSpace"]
ON_NETWORK = ["Network.Assign"]


def least() -> list[str]:
    """Every privilege that the account needs anywhere: what a role for it must contain."""
    return sorted({*ON_TEMPLATE, *ON_FOLDER, *ON_POOL, *ON_DATASTORE, *ON_NETWORK})


Need = tuple[Any, str, Sequence[str]]
"""object, its path for a person, privileges"""


def needs_of(place: Place, template: Any | None, template_path: str) -> list[Need]:
    root = f"/{place.datacenter.path}"
    needs: list[Need] = [
        (place.folder.object, f"{root}/vm/{place.folder.path}", ON_FOLDER),
        (place.pool.object, f"{root}/host/{place.cluster.path}/{place.pool.path}", ON_POOL),
        (place.datastore.object, f"{root}/datastore/{place.datastore.path}", ON_DATASTORE),
        (place.network.object, f"{root}/network/{place.network.path}", ON_NETWORK),
    ]
    if template is not None:
        needs.append((template, template_path, ON_TEMPLATE))
    return needs


def check(session: VsphereSession, name: str, needs: list[Need]) -> list[Check]:
    """One call; one check for each missing privilege, or one that says that all are there. Blocks."""
    every = sorted({privilege for _, _, privileges in needs for privilege in privileges})
    try:
        answer = session.content.authorizationManager.HasUserPrivilegeOnEntities(
            [managed_object for managed_object, _, _ in needs], session.user_name, every
        )
    except vmodl.MethodFault as fault:
        # Some vCenters let only administrators ask; then the first clone will tell.
        problem = session.translate(fault)
        return [Check(name, None, "vCenter does not tell which privileges the account has", problem)]
    granted = {moid(item.entity): {one.privId for one in item.privAvailability if one.isGranted} for item in answer}
    missing = [
        Check(name, False, f"{privilege} on {path}", _missing(session, path, managed_object, privilege))
        for managed_object, path, privileges in needs
        for privilege in privileges
        if privilege not in granted.get(moid(managed_object), set())
    ]
    return missing or [Check(name, True, f"{session.account} has every privilege that is needed")]


def _missing(session: VsphereSession, path: str, managed_object: Any, privilege: str) -> PermissionMissing:
    return PermissionMissing(
        f"The account {session.account} lacks the privilege {privilege} on {path}.",
        reason="permission-missing",
        evidence=[f"vCenter was asked whether {session.user_name} has it"],
        cause="The account's role on that object (or on its parents, where it propagates) does not contain it.",
        remedy=[f"In vCenter, give {session.account} a role with {privilege} on {path}."],
        fields={
            "privilege": privilege,
            "object": path,
            "object-type": type(managed_object).__name__.rsplit(".", 1)[-1],
            "account": session.account,
            "moid": moid(managed_object),
        },
    )
