"""Reads from vCenter what `permissions.py` needs to explain an answer: roles, permissions, and who stands above whom.

Used by `privileges.py`. One bulk read for the roles, all ancestors and what stands on them. An account may see less of
them than there is: then one call for each such object tells what reaches it from above, and what it does not tell is
noted, not raised. Blocks.
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
    root = moid(session.content.rootFolder)
    up = traversal("up", vim.ManagedEntity, "parent", into=["up"])
    starts: list[tuple[Any, Sequence[Any], bool]] = [(one, [up], False) for one in objects]
    found = read(
        session,
        [*starts, (manager, (), False)],
        [(vim.ManagedEntity, ["name", "parent", "permission"]), (vim.AuthorizationManager, ["roleList"])],
    )
    role_list = next((item.get("roleList") for item in found if "roleList" in item), None) or []
    entities = {moid(item["object"]): item for item in found if isinstance(item["object"], vim.ManagedEntity)}
    chains = {moid(one): _chain(entities, moid(one)) for one in objects}
    by_object: dict[str, dict[Permission, None]] = {}
    for at, item in entities.items():
        _add(by_object, at, item.get("permission") or [])
    shown = frozenset(by_object)
    unreadable: set[str] = set()
    for managed_object in objects:
        chain = chains[moid(managed_object)]
        seen = [entities[at] for at in chain if at in entities and "permission" not in entities[at]["hidden"]]
        # A chain on which nothing stands at all is one of which vCenter did not tell.
        if chain[-1] == root and len(seen) == len(chain) and not shown.isdisjoint(chain):
            continue
        try:
            _add(by_object, moid(managed_object), manager.RetrieveEntityPermissions(managed_object, True) or [])
        except vim.fault.NotAuthenticated:
            raise
        except vmodl.MethodFault:
            unreadable.add(moid(managed_object))
    # A chain that does not reach the root has ancestors that may hold anything.
    hidden_above = {chain[-1] for chain in chains.values() if chain[-1] != root}
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
    return known, [item["object"] for at, item in entities.items() if at not in paths]


def _add(by_object: dict[str, dict[Permission, None]], at: str, told: Sequence[Any]) -> None:
    """`told` of the object `at`; what propagates from above may be among it."""
    for one in told:
        on = moid(one.entity) if one.entity is not None else at
        permission = Permission(on, one.principal, bool(one.group), int(one.roleId), bool(one.propagate))
        by_object.setdefault(on, {})[permission] = None


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
