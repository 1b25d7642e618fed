"""The table of privileges is true: held against the driver's code, pyVmomi's own data, and what vCenter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pyVmomi import vim, vmodl

import pcg.clouds.vsphere
from pcg.clouds.vsphere import roles
from pcg.clouds.vsphere.permissions import Why
from pcg.clouds.vsphere.roles import (
    IMPORT_METHODS,
    IMPORT_METHODS_WITHOUT_PRIVILEGE,
    METHODS_DONE_WITHOUT,
    METHODS_WITHOUT_PRIVILEGE,
    ROLE_OF,
    TABLE,
    Where,
)

FOLDER = Path(pcg.clouds.vsphere.__file__).parent
TYPES = [
    vim.AuthorizationManager,
    vim.Folder,
    vim.HttpNfcLease,
    vim.OvfManager,
    vim.ResourcePool,
    vim.SearchIndex,
    vim.ServiceInstance,
    vim.SessionManager,
    vim.VirtualMachine,
    vim.event.EventManager,
    vim.host.DateTimeSystem,
    vim.view.ContainerView,
    vim.view.ViewManager,
    vmodl.query.PropertyCollector,
    vmodl.query.PropertyCollector.Filter,
]
"""the vSphere types that the driver works with"""
OF_THE_CONNECTION = {"DropConnections"}
"""pyVmomi's own, of the same name as a method of vSphere"""


def methods_of_vsphere() -> dict[str, list[str]]:
    """Every method of vSphere's types: the privileges that pyVmomi's own data name, by the name that is called."""
    found: dict[str, list[str]] = {}
    for kind in TYPES:
        for ancestor in kind.__mro__:
            for name, info in getattr(ancestor, "_methodInfo", {}).items():
                named = [info.privId, *(parameter.privId for parameter in info.params)]
                for called in {name, info.wsdlName}:
                    found.setdefault(called, []).extend(privilege for privilege in named if privilege)
    return found


def called_by_the_driver() -> set[str]:
    known = methods_of_vsphere()
    called = set()
    for source in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name = node.func.attr
                # Whatever looks like a method of vSphere, known here or not: nothing may slip through.
                if (name in known and name[0].isupper()) or name.endswith("_Task"):
                    called.add(name)
    return called - OF_THE_CONNECTION


def test_the_search_finds_what_the_driver_is_known_to_call() -> None:
    assert {"CloneVM_Task", "PowerOnVM_Task", "RetrievePropertiesEx", "FindByUuid", "Login"} <= called_by_the_driver()


def test_whatever_is_called_is_in_the_table_or_needs_nothing() -> None:
    reasons = {method for one in TABLE for method in one.methods}
    harmless = METHODS_WITHOUT_PRIVILEGE | IMPORT_METHODS_WITHOUT_PRIVILEGE | METHODS_DONE_WITHOUT
    assert called_by_the_driver() - reasons - harmless == set()


def test_every_reason_is_a_method_that_is_called() -> None:
    reasons = {method for one in TABLE for method in one.methods}
    assert reasons - called_by_the_driver() - IMPORT_METHODS == set()
    assert reasons >= IMPORT_METHODS


def test_no_method_without_privilege_is_listed_that_is_not_called() -> None:
    assert METHODS_WITHOUT_PRIVILEGE - called_by_the_driver() == set()


@pytest.mark.parametrize("method", sorted(METHODS_WITHOUT_PRIVILEGE | IMPORT_METHODS_WITHOUT_PRIVILEGE))
def test_what_needs_no_privilege_needs_at_most_to_read(method: str) -> None:
    assert set(methods_of_vsphere()[method]) <= {"System.Anonymous", "System.View", "System.Read"}


@pytest.mark.parametrize("method", sorted({method for one in TABLE for method in one.methods}))
def test_what_pyvmomi_names_for_a_method_is_in_the_table(method: str) -> None:
    named = {one for one in methods_of_vsphere()[method] if not one.startswith("System.")}
    assert named <= {one.id for one in TABLE if method in one.methods}


def test_each_privilege_stands_once_on_each_object_and_has_its_reason() -> None:
    assert len({(one.id, one.on) for one in TABLE}) == len(TABLE)
    for one in TABLE:
        assert one.methods and one.why and " > " in one.label
        assert one.assigned_on in ROLE_OF


def test_what_propagates_and_what_is_for_the_import_alone() -> None:
    by_key = {(one.id, one.on): one for one in TABLE}
    assert by_key["VirtualMachine.Interact.PowerOn", Where.MACHINE].propagates
    assert not by_key["Resource.AssignVMToPool", Where.POOL].propagates
    imports = {(one.id, one.on) for one in TABLE if one.for_import}
    assert imports == {
        ("VApp.Import", Where.POOL),
        ("VApp.Import", Where.TEMPLATE_FOLDER),
        ("VirtualMachine.Config.Rename", Where.TEMPLATE),
        ("VirtualMachine.Provisioning.MarkAsTemplate", Where.TEMPLATE),
        ("VirtualMachine.Inventory.Delete", Where.TEMPLATE),
        ("Folder.Create", Where.TEMPLATE_PARENT),
    }


def test_a_role_holds_exactly_what_its_objects_need() -> None:
    assert roles.least("pcg-folders") == ["Folder.Create"]
    assert "VirtualMachine.Interact.PowerOn" not in roles.least("pcg-templates")
    assert set(roles.least()) == {one.id for one in TABLE}


DOCUMENT = Path(__file__).parents[4] / "docs" / "vsphere-permissions.md"


def rows_of(heading: str) -> list[list[str]]:
    """The table below a heading of the document, without its head."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_document_holds_the_table() -> None:
    assert rows_of("Privileges, each with its reason") == [
        [one.id, one.label, one.on, ROLE_OF[one.assigned_on], one.why, ", ".join(one.methods)] for one in TABLE
    ]


def test_the_document_holds_the_assignments() -> None:
    assert rows_of("Roles, and where to assign them") == [
        [one.role, one.on, "yes" if one.propagates else "no", one.note] for one in roles.ASSIGNMENTS
    ]


def test_the_document_explains_every_reason() -> None:
    assert [row[0] for row in rows_of("What preflight says")] == list(Why)


def test_assignments_bring_every_privilege_to_where_it_is_needed() -> None:
    for one in TABLE:
        (assignment,) = [item for item in roles.ASSIGNMENTS if item.on is one.assigned_on]
        assert one.id in roles.least(*assignment.role.split("+"))
        assert assignment.propagates or not one.propagates
