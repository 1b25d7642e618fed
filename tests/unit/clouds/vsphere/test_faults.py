"""Each fault becomes the error that asks for the right thing."""

from __future__ import annotations

import http.client
import socket
import ssl

import pytest
from pyVmomi import vim, vmodl

from pcg.clouds.vsphere.faults import SessionLost, WaitCancelled, translate
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

VM = vim.VirtualMachine("vm-1", None)


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        (vim.fault.NotAuthenticated(object=VM, privilegeId="System.View"), SessionLost, "session-lost"),
        (vim.fault.NoPermission(object=VM, privilegeId="X.Y"), PermissionMissing, "permission-missing"),
        (vim.fault.InvalidLogin(), CredentialsRejected, "credentials-rejected"),
        (vim.fault.PasswordExpired(), CredentialsRejected, "password-expired"),
        (vim.fault.DuplicateName(name="n1", object=VM), Conflict, "name-taken"),
        (vim.fault.TaskInProgress(task=vim.Task("task-1", None)), Busy, "task-in-progress"),
        (vmodl.fault.ManagedObjectNotFound(obj=VM), NotFound, "object-gone"),
        (
            vim.fault.InvalidPowerState(requestedState="poweredOff", existingState="poweredOn"),
            Conflict,
            "power-state",
        ),
        (vmodl.fault.RequestCanceled(), WaitCancelled, "wait-cancelled"),
        (vim.fault.NoDiskSpace(file="f", datastore="ds-1"), ResourcesMissing, "resources-missing"),
        (vim.fault.InsufficientMemoryResourcesFault(unreserved=1, requested=2), ResourcesMissing, "resources-missing"),
        (vmodl.fault.SystemError(reason="oops"), TryAgain, "vcenter-failed"),
        (vmodl.fault.InvalidArgument(invalidProperty="spec.pool"), GiveUp, "vcenter-refused"),
        (ssl.SSLError("bad"), Unreachable, "vcenter-unreachable-tls"),
        (socket.gaierror(-2, "unknown"), Unreachable, "vcenter-unreachable-name"),
        (ConnectionRefusedError(), Unreachable, "vcenter-unreachable-connect"),
        (http.client.RemoteDisconnected(), Unreachable, "vcenter-unreachable-http"),
    ],
)
def test_a_fault_becomes_the_contract_s_error(fault: Exception, kind: type[PcgError], reason: str) -> None:
    error = translate(fault, account="svc", address="vc:443", path_of=lambda managed_object: "/dc-1/vm/n1")
    assert type(error) is kind
    assert error.reason == reason


def test_a_missing_privilege_names_all_that_a_person_needs() -> None:
    fault = vim.fault.NoPermission(object=VM, privilegeId="VirtualMachine.Interact.PowerOn")
    error = translate(fault, account="svc", address="vc:443", path_of=lambda managed_object: "/dc-1/vm/n1")
    assert error.what == "The account svc lacks the privilege VirtualMachine.Interact.PowerOn on /dc-1/vm/n1."
    assert error.fields["object-type"] == "VirtualMachine"
    assert error.fields["moid"] == "vm-1"


def test_an_error_of_the_contract_stays_itself() -> None:
    known = GiveUp("no")
    assert translate(known, account="a", address="b", path_of=str) is known
