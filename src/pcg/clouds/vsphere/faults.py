"""vSphere faults as the errors of the contract, with the original's own values kept in `fields`.

Called at the edge by `session.py` (what a call raised) and `machines.py` (what a task ended with); the original is
chained by the caller's `raise … from`. Nothing above this folder ever sees a pyVmomi type.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Any

from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import (
    Busy,
    Conflict,
    CredentialsRejected,
    GiveUp,
    NotFound,
    PcgError,
    PermissionMissing,
    ResourcesMissing,
    TryAgain,
    Unreachable,
)

PathOf = Callable[[Any], str]
"""answers the inventory path of a managed object, or its id when it cannot be read"""


class SessionLost(TryAgain):
    """vCenter no longer knows our session (idle, restarted, or ended by an administrator): log in again."""


class WaitCancelled(TryAgain):
    """We ended our own wait."""


def translate(error: Exception, *, account: str, address: str, path_of: PathOf) -> PcgError:
    """The contract's error for whatever a call or a task of pyVmomi ended with."""
    if isinstance(error, PcgError):
        return error
    if isinstance(error, vmodl.MethodFault):
        return _of_fault(error, account, address, path_of)
    if isinstance(error, ssl.SSLError):
        return unreachable(address, "tls", error)
    if isinstance(error, socket.gaierror):
        return unreachable(address, "name", error)
    if isinstance(error, ConnectionRefusedError):
        return unreachable(address, "connect", error)
    # An answer that is no SOAP (a proxy's page, a vCenter that is still starting) ends as a parser's error.
    return unreachable(address, "http", error)


def unreachable(address: str, hop: str, error: Exception, *, reason: str = "") -> Unreachable:
    """`hop` is one of name, connect, tls, http."""
    words = {
        "name": "its name could not be resolved",
        "connect": "no connection could be made",
        "tls": "TLS failed",
        "http": "it did not answer as a vCenter does",
    }
    remedies = {
        "name": "Check the vCenter's host name and the name servers of this machine.",
        "connect": "Check that this machine may connect to the vCenter's address and port.",
        "tls": "Check the trust (thumbprint or CA) against the vCenter's certificate, and this machine's clock.",
        "http": "Check that the address is a vCenter's and that its services have started.",
    }
    return Unreachable(
        f"The vCenter {address} cannot be reached: {words[hop]}.",
        reason=reason or f"vcenter-unreachable-{hop}",
        evidence=[f"tried: {address}", f"{type(error).__name__}: {_first_line(error)}"],
        remedy=[remedies[hop]],
        fields={"hop": hop, "target": address},
    )


def _of_fault(fault: Any, account: str, address: str, path_of: PathOf) -> PcgError:
    kind = type(fault).__name__.rsplit(".", 1)[-1]
    fields = {"fault": kind, "account": account, "vcenter": address}
    evidence = [f"vCenter answered: {kind}" + (f": {fault.msg}" if fault.msg else "")]
    # NotAuthenticated is a NoPermission for pyVmomi, so it comes first.
    if isinstance(fault, vim.fault.NotAuthenticated):
        return SessionLost("The session with the vCenter has ended.", reason="session-lost", fields=fields)
    if isinstance(fault, vim.fault.NoPermission):
        return _permission(fault, account, fields, evidence, path_of)
    if isinstance(fault, vim.fault.InvalidLogin | vim.fault.InvalidLocale):
        # The API 6.7 that we speak does not know the fault PasswordExpired: its words are all that comes through.
        expired = kind == "PasswordExpired" or "expired" in (fault.msg or "").lower()
        return CredentialsRejected(
            f"The vCenter {address} does not accept the account {account}"
            + (": its password has expired." if expired else " or its password."),
            reason="password-expired" if expired else "credentials-rejected",
            evidence=evidence,
            remedy=["Give the password again, or unlock or correct the account in vCenter."],
            fields=fields,
        )
    if isinstance(fault, vim.fault.DuplicateName):
        return Conflict(
            f"The name {fault.name} is taken.",
            reason="name-taken",
            evidence=evidence,
            fields={**fields, "name": str(fault.name), "object": _id(fault.object)},
        )
    if isinstance(fault, vim.fault.TaskInProgress):
        return Busy(
            "vCenter is still working on the machine.", reason="task-in-progress", evidence=evidence, fields=fields
        )
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound):
        return NotFound(
            "vCenter no longer knows the object.",
            reason="object-gone",
            evidence=evidence,
            fields={**fields, "object": _id(fault.obj)},
        )
    if isinstance(fault, vim.fault.InvalidPowerState):
        return Conflict(
            f"The machine's power state is {fault.existingState}.",
            reason="power-state",
            evidence=evidence,
            fields={**fields, "existing": str(fault.existingState), "requested": str(fault.requestedState)},
        )
    if isinstance(fault, vmodl.fault.RequestCanceled):
        return WaitCancelled("The wait was ended.", reason="wait-cancelled", fields=fields)
    if isinstance(fault, vim.fault.NoDiskSpace | vim.fault.InsufficientStorageSpace):
        return _resources("disk space", getattr(fault, "datastore", "") or "", fields, evidence)
    if isinstance(fault, vim.fault.InsufficientResourcesFault):
        return _resources("CPU, memory or another resource", "", fields, evidence)
    if isinstance(fault, vmodl.fault.HostCommunication | vim.fault.Timedout | vmodl.fault.SystemError):
        return TryAgain("vCenter could not do it this time.", reason="vcenter-failed", evidence=evidence, fields=fields)
    for name in ("invalidProperty", "property", "reason", "name"):
        if getattr(fault, name, None):
            fields[name] = str(getattr(fault, name))
    return GiveUp(
        f"vCenter refused: {fault.msg or kind}",
        reason="vcenter-refused",
        evidence=evidence + [f"{name}: {fields[name]}" for name in ("invalidProperty", "property") if name in fields],
        fields=fields,
    )


def _permission(
    fault: Any, account: str, fields: dict[str, str], evidence: list[str], path_of: PathOf
) -> PermissionMissing:
    where = path_of(fault.object) if fault.object is not None else "an unnamed object"
    kind = type(fault.object).__name__.rsplit(".", 1)[-1] if fault.object is not None else ""
    privilege = fault.privilegeId or "an unnamed privilege"
    return PermissionMissing(
        f"The account {account} lacks the privilege {privilege} on {where}.",
        reason="permission-missing",
        evidence=evidence,
        cause="The account's role on that object (or on its parents, where it propagates) does not contain it.",
        remedy=[f"In vCenter, give {account} a role with {privilege} on {where}."],
        fields={**fields, "privilege": privilege, "object": where, "object-type": kind, "moid": _id(fault.object)},
    )


def _resources(resource: str, where: str, fields: dict[str, str], evidence: list[str]) -> ResourcesMissing:
    return ResourcesMissing(
        f"vCenter has not enough {resource}" + (f" on {where}." if where else "."),
        reason="resources-missing",
        evidence=evidence,
        remedy=["Free some, add some, or choose another placement."],
        fields={**fields, "resource": resource, "where": where},
    )


def _id(managed_object: Any) -> str:
    return str(getattr(managed_object, "_moId", "") or "")


def _first_line(error: Exception) -> str:
    if isinstance(error, http.client.HTTPException) and not str(error):
        return "the connection was closed"
    return (str(error).splitlines() or [""])[0][:300]
