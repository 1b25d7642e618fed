"""Roles and their assignments written out as commands for PowerCLI and govc, objects named by their inventory paths.

Used by `pcg vsphere roles` (every role, before anything exists) and by `privileges.py` (the remedy of a missing one).
PowerCLI has no cmdlet that takes every kind of object by its path, so its commands go through the search index.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pcg.clouds.vsphere import roles
from pcg.clouds.vsphere.roles import Where
from pcg.model.configuration import Configuration, Placement

TOOLS = ("powercli", "govc")
PLACEHOLDER_ACCOUNT = r"DOMAIN\ACCOUNT"


@dataclass(frozen=True)
class Assigned:
    """One role on one object. `path` is an inventory path; `/` is the vCenter root."""

    role: str
    path: str
    propagates: bool
    note: str = ""
    optional: bool = False


def assigned_for(configuration: Configuration | None) -> list[Assigned]:
    """Where the roles go, for a configuration's placements or with placeholders; each object once."""
    if configuration is None:
        places = [_paths_of(_PLACEHOLDERS, "TEMPLATE-FOLDER")]
    else:
        template = configuration.template.folder
        places = [_paths_of(placement, template) for placement in configuration.placement]
    found: dict[str, Assigned] = {}
    for paths in places:
        for one in roles.ASSIGNMENTS:
            path = paths[one.on]
            known = found.get(path)
            if known is None:
                found[path] = Assigned(one.role, path, one.propagates, one.note, one.optional)
            elif not one.optional:
                role = _both(known.role, one.role)
                found[path] = Assigned(role, path, known.propagates or one.propagates, known.note)
    return list(found.values())


def privileges_of(role: str) -> list[str]:
    """Those of a role of the table, or of several of them on one object (their names joined by +)."""
    return roles.least(*role.split("+")) if role != roles.READ_ONLY else []


def principal(account: str) -> str:
    r"""`svc@vsphere.local` as permissions spell it: `VSPHERE.LOCAL\svc`."""
    name, at, domain = account.rpartition("@")
    return f"{domain.upper()}\\{name}" if at else account


def create_role(tool: str, role: str, privileges: Sequence[str]) -> str:
    if tool == "govc":
        return " ".join(["govc role.create", shlex.quote(role), *privileges])
    return f"New-VIRole -Name {_quoted(role)} -Privilege (Get-VIPrivilege -Id {_ids(privileges)})"


def add_to_role(tool: str, role: str, privileges: Sequence[str]) -> str:
    if tool == "govc":
        return " ".join(["govc role.update -a", shlex.quote(role), *privileges])
    add = f"-AddPrivilege (Get-VIPrivilege -Id {_ids(privileges)})"
    return f"Set-VIRole -Role (Get-VIRole -Name {_quoted(role)}) {add}"


def assign(tool: str, role: str, path: str, account: str, *, propagates: bool) -> str:
    """Replaces what this account has on this very object, as vCenter does."""
    if tool == "govc":
        flags = f"-principal {shlex.quote(principal(account))} -role {shlex.quote(role)}"
        return f"govc permissions.set {flags} -propagate={str(propagates).lower()} {shlex.quote(path)}"
    entity = f"(Get-View SearchIndex).FindByInventoryPath({_quoted(path.lstrip('/'))})"
    if path == "/":
        entity = "(Get-View ServiceInstance).Content.RootFolder"
    values = (
        f"Principal={_quoted(principal(account))}; Group=$false; Propagate=${str(propagates).lower()}; "
        f"RoleId=(Get-VIRole -Name {_quoted(role)}).Id"
    )
    permission = f"(New-Object VMware.Vim.Permission -Property @{{{values}}})"
    return f"(Get-View AuthorizationManager).SetEntityPermissions({entity}, @({permission}))"


def script(tool: str, configuration: Configuration | None, account: str | None) -> list[str]:
    """Every role created, then assigned. Optional assignments are written as comments, with the reason."""
    assigned = assigned_for(configuration)
    needed = [one for one in assigned if not one.optional]
    lines = [f"# The least-privilege roles of a private cloud gateway, for {'PowerCLI' if tool != 'govc' else 'govc'}."]
    lines += _creations(tool, (one.role for one in needed))
    for one in assigned:
        command = assign(tool, one.role, one.path, account or PLACEHOLDER_ACCOUNT, propagates=one.propagates)
        if one.optional:
            lines.append(f"# {one.note}:")
            lines += [f"# {line}" for line in (*_creations(tool, [one.role]), command)]
        else:
            lines.append(command)
    return lines


def _creations(tool: str, names: Iterable[str]) -> list[str]:
    wanted = dict.fromkeys(name for name in names if name != roles.READ_ONLY)
    return [create_role(tool, name, privileges_of(name)) for name in wanted]


def _both(first: str, second: str) -> str:
    """An account has one role on an object: where two are needed, it is one role with the privileges of both."""
    names = dict.fromkeys([*first.split("+"), *second.split("+")])
    names.pop(roles.READ_ONLY if len(names) > 1 else "", None)
    return "+".join(names)


_PLACEHOLDERS = Placement(
    datacenter="DATACENTER",
    cluster="CLUSTER",
    resource_pool="RESOURCE-POOL",
    folder="FOLDER",
    datastore="DATASTORE",
    network="NETWORK",
)


def _paths_of(placement: Placement, template_folder: str) -> dict[Where, str]:
    """A bare name is taken to lie directly below the datacenter's folder of its kind."""
    root = "/" + placement.datacenter.strip("/")
    cluster = _below(root, "host", placement.cluster)
    templates = _below(root, "vm", template_folder)
    return {
        Where.ROOT: "/",
        Where.DATACENTER: root,
        Where.CLUSTER: cluster,
        Where.POOL: f"{cluster}/{placement.resource_pool.strip('/')}",
        Where.FOLDER: _below(root, "vm", placement.folder),
        Where.TEMPLATE_FOLDER: templates,
        Where.TEMPLATE_PARENT: templates.rpartition("/")[0],
        Where.DATASTORE: _below(root, "datastore", placement.datastore),
        Where.NETWORK: _below(root, "network", placement.network),
        Where.SWITCH: f"{root}/network/DISTRIBUTED-SWITCH",
    }


def _below(root: str, kind: str, path: str) -> str:
    return f"{root}/{kind}/" + path.strip("/").removeprefix(f"{root.lstrip('/')}/{kind}/")


def _ids(privileges: Sequence[str]) -> str:
    return ",".join(_quoted(privilege) for privilege in privileges)


def _quoted(text: str) -> str:
    """A PowerShell string in which nothing is expanded. PowerShell takes typographic quotes for plain ones."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"
