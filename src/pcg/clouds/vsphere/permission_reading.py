"""Reads from vCenter what `permissions.py` needs to explain an answer: roles, permissions, and who stands above whom.

Used by `privileges.py`. One bulk read for the roles and all ancestors, then one call for each object and each of its
ancestors; an account may see less of them than there is, and that is noted, not raised. Blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pcg.clouds.vsphere.inventory import Properties, moid, plain_name, read, traversal
from pcg.clouds.vsphere.permissions import Permission, Permissions, Role
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl


def read_permissions(
    session: VsphereSession, paths: Mapping[str, str], objects: Sequence[Any]
) -> tuple[Permissions, list[Any]]:
    """Permissions on `objects` and above, and those ancestors that can be seen. `paths` are inventory paths of the
    objects by id, for a person.
    """
    manager = session.content.authorizationManager
    up = traversal("up", vim.ManagedEntity, "parent", into=["up"])
    starts: list[tuple[Any, Sequence[Any], bool]] = [(one, [up], False) for one in objects]
    found = read(
        session,
        [*starts, (manager, (), False)],
        [(vim.ManagedEntity, ["name", "parent"]), (vim.AuthorizationManager, ["roleList"])],
    )
    role_list = next((item.get("roleList") for item in found if "roleList" in item), None) or []
    entities = {moid(item["object"]): item for item in found if isinstance(item["object"], vim.ManagedEntity)}
    chains = {moid(one): _chain(entities, moid(one)) for one in objects}
    by_object: dict[str, dict[Permission, None]] = {}
    unreadable: set[str] = set()
    asked: dict[str, Any] = {moid(one): one for one in objects}
    asked |= {at: entities[at]["object"] for chain in chains.values() for at in chain if at in entities}
    for at, managed_object in asked.items():
        try:
            # For the objects themselves with what they inherit: of an ancestor that the account may not see, the
            # permissions that propagate are told all the same.
            answer = manager.RetrieveEntityPermissions(managed_object, at in paths)
        except vim.fault.NotAuthenticated:
            raise
        except vmodl.MethodFault:
            if at in paths:
                unreadable.add(at)  # else what propagates from there was told with the object below
            continue
        for one in answer or []:
            on = moid(one.entity) if one.entity is not None else at
            permission = Permission(on, one.principal, bool(one.group), int(one.roleId), bool(one.propagate))
            by_object.setdefault(on, {})[permission] = None
    # A chain that does not reach the root has ancestors that may hold anything.
    hidden_above = {chain[-1] for chain in chains.values() if moid(session.content.rootFolder) != chain[-1]}
    known = Permissions(
        accounts=tuple(dict.fromkeys((session.user_name, session.account))),
        roles={
            int(role.roleId): Role(role.name, frozenset(role.privilege or []), bool(role.system)) for role in role_list
        },
        by_object={on: list(permissions) for on, permissions in by_object.items()},
        chains=chains,
        paths={at: _path(entities, at) for at in entities} | dict(paths),
        unreadable=frozenset(unreadable | hidden_above),
    )
    return known, [managed_object for at, managed_object in asked.items() if at not in paths]


def _chain(entities: Mapping[str, Properties], at: str) -> list[str]:
    """From the object to the highest ancestor that can be seen, itself first."""
    chain = [at]
    while (parent := entities.get(chain[-1], {}).get("parent")) is not None and moid(parent) not in chain:
        chain.append(moid(parent))
    return chain


def _path(entities: Mapping[str, Properties], at: str) -> str:
    chain = [one for one in _chain(entities, at) if one in entities]
    names = [plain_name(entities[one].get("name", one)) for one in chain if entities[one].get("parent") is not None]
    return "/" + "/".join(reversed(names))
