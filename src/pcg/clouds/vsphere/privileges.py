"""Whether the gateway's account has what it needs, asked of vCenter before anything is made.

Used by `cloud.py` in preflight; what is needed stands in `roles.py`. vCenter's own answer decides. Roles, groups and
propagation (`permissions.py`) explain a missing privilege; where that explanation and the answer contradict each other,
the result is "cannot tell", never a refusal. The number of calls depends on how many objects the configuration names,
never on the size of the inventory or the number of privileges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.vsphere import inventory, role_commands, roles
from pcg.clouds.vsphere.inventory import Place, moid
from pcg.clouds.vsphere.permission_reading import read_permissions
from pcg.clouds.vsphere.permissions import Judgement, Permissions, Why
from pcg.clouds.vsphere.roles import Privilege, Where
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import NotFound, PcgError, PermissionMissing
from pcg.model.configuration import Configuration

NAME = "privileges"
"""of the check"""
MOST_ROWS = 24
"""rows of evidence; the record of a problem holds 32"""


@dataclass(frozen=True)
class Need:
    """Privileges on one object; `path` is for a person and for commands."""

    object: Any
    path: str
    privileges: tuple[Privilege, ...]

    @property
    def kind(self) -> str:
        return type(self.object).__name__.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class _Doubt:
    """A privilege on an object, and what is known of why it is missing there."""

    need: Need
    privilege: str
    judgement: Judgement


def least() -> list[str]:
    """Every privilege that the account needs anywhere: what one role for it would contain."""
    return roles.least()


def check(session: VsphereSession, configuration: Configuration, template: Any | None, places: list[Place]) -> Check:
    """One check for all placements: clear, refused with every missing privilege, or cannot tell. Blocks."""
    needs = _needs(session, configuration, template, places)
    known, ancestors = read_permissions(
        session, {moid(need.object): need.path for need in needs}, [need.object for need in needs]
    )
    try:
        granted = _granted(session, needs, ancestors)
    except PcgError as problem:
        return Check(NAME, None, problem.what, problem)
    known = replace(known, granted=granted)
    missing: list[_Doubt] = []
    doubtful: list[_Doubt] = []
    for need in needs:
        has = granted.get(moid(need.object), frozenset())
        for privilege in need.privileges:
            _sort(need, privilege, privilege.id in has, known, missing, doubtful)
    if missing:
        refusal = _problem(session, known, missing, doubtful)
        return Check(NAME, False, refusal.what, refusal)
    if doubtful:
        doubt = _cannot_tell(session, known, doubtful)
        return Check(NAME, None, doubt.what, doubt)
    count = sum(len(need.privileges) for need in needs)
    return Check(NAME, True, f"{session.account} has all {count} privileges that are needed on {len(needs)} objects")


def _needs(
    session: VsphereSession, configuration: Configuration, template: Any | None, places: list[Place]
) -> list[Need]:
    """Each object once, whatever placements name it."""
    found: dict[str, Need] = {}
    importing = template is None and "://" in configuration.template.image

    def add(managed_object: Any, path: str, *where: Where) -> None:
        wanted = [one for one in roles.TABLE if one.on in where and (importing or not one.for_import)]
        known = found.get(moid(managed_object))
        every = {one.id: one for one in (*(known.privileges if known else ()), *wanted)}
        if every:
            found[moid(managed_object)] = Need(managed_object, path, tuple(every.values()))

    for place in places:
        root = f"/{place.datacenter.path}"
        add(place.folder.object, f"{root}/vm/{place.folder.path}", Where.FOLDER, Where.MACHINE)
        add(place.pool.object, f"{root}/host/{place.cluster.path}/{place.pool.path}", Where.POOL)
        add(place.datastore.object, f"{root}/datastore/{place.datastore.path}", Where.DATASTORE)
        add(place.network.object, f"{root}/network/{place.network.path}", Where.NETWORK)
    datacenter = places[0].datacenter
    root = f"/{datacenter.path}/vm"
    if template is not None:
        add(
            template, f"{root}/{configuration.template.folder.strip('/')}/{configuration.template.name}", Where.TEMPLATE
        )
        return list(found.values())
    if not importing:
        return list(found.values())  # no import can make a template that is named only
    try:
        folder = inventory.find_folder(session, datacenter, configuration.template.folder, "template.folder")
        add(folder.object, f"{root}/{folder.path}", Where.TEMPLATE_FOLDER, Where.TEMPLATE)
    except NotFound:
        # The new folder will have only what reaches it from above.
        parent = datacenter.properties["vmFolder"]
        add(parent, root, Where.TEMPLATE_PARENT, Where.TEMPLATE_FOLDER, Where.TEMPLATE)
    return list(found.values())


def _granted(session: VsphereSession, needs: list[Need], ancestors: list[Any]) -> dict[str, frozenset[str]]:
    """What vCenter says the account has, by object. Raises PcgError when it does not say."""
    manager = session.content.authorizationManager
    every = sorted({privilege.id for need in needs for privilege in need.privileges})
    objects = [need.object for need in needs]
    refused: dict[str, None] = {}
    # The ancestors rule out groups; where the account may not ask about them, the objects themselves are enough.
    for entities in (objects + ancestors, objects):
        try:
            answer = manager.HasUserPrivilegeOnEntities(entities, session.user_name, every)
            return {
                moid(item.entity): frozenset(one.privId for one in item.privAvailability if one.isGranted)
                for item in answer
            }
        except vmodl.MethodFault as fault:
            refused[_refusal(fault, "HasUserPrivilegeOnEntities")] = None
        try:
            answer = manager.FetchUserPrivilegeOnEntities(entities, session.user_name)
            return {moid(item.entity): frozenset(item.privileges or []) for item in answer}
        except vmodl.MethodFault as fault:
            refused[_refusal(fault, "FetchUserPrivilegeOnEntities")] = None
    raise PcgError(
        f"The vCenter does not tell which privileges {session.account} has.",
        reason="privileges-not-told",
        evidence=list(refused),
        cause="It lets the account ask neither for single privileges nor for all of them.",
        remedy=["Compare the account's roles with `pcg vsphere roles`; else the first clone will tell."],
        fields={"account": session.account, "missing": "an answer of vCenter about the account's privileges"},
    )


def _refusal(fault: Any, method: str) -> str:
    if isinstance(fault, vim.fault.NotAuthenticated):
        raise fault  # the session has ended: it is renewed, and the question asked again
    kind = type(fault).__name__.rsplit(".", 1)[-1]
    return f"vCenter answered {method} with {kind}" + (f": {fault.msg}" if fault.msg else "")


def _sort(
    need: Need, privilege: Privilege, granted: bool, known: Permissions, missing: list[_Doubt], doubtful: list[_Doubt]
) -> None:
    """Into missing, doubtful or neither: vCenter's answer counts unless what can be read rules it out."""
    judgement = known.judge(privilege.id, moid(need.object))
    if not granted:
        (missing if False in judgement.possible else doubtful).append(_Doubt(need, privilege.id, judgement))
        return
    # A machine also inherits from its host, of which nothing is read here.
    if judgement.possible == {False} and not isinstance(need.object, vim.VirtualMachine):
        doubtful.append(_Doubt(need, privilege.id, judgement))
    elif privilege.propagates and not isinstance(need.object, vim.VirtualMachine):
        children = known.judge_children(privilege.id, moid(need.object))
        if children.possible == {False}:
            doubtful.append(_Doubt(need, privilege.id, children))


def _problem(
    session: VsphereSession, known: Permissions, missing: list[_Doubt], doubtful: list[_Doubt]
) -> PermissionMissing:
    first = missing[0]
    objects = {one.need.path: None for one in missing}
    what = f"The account {session.account} lacks the privilege {first.privilege} on {first.need.path}."
    if len(missing) > 1:
        what = (
            f"The account {session.account} lacks {len(missing)} privileges on {', '.join(objects)}, "
            f"the first is {first.privilege}."
        )
    return PermissionMissing(
        what,
        reason="permission-missing",
        evidence=_bounded([*_rows(missing), *(f"not certain: {row}" for row in _rows(doubtful))]),
        cause=first.judgement.text[:1].upper() + first.judgement.text[1:] + ".",
        remedy=_remedy(session, known, missing),
        fields={
            "privilege": first.privilege,
            "object": first.need.path,
            "object-type": first.need.kind,
            "account": session.account,
            "moid": moid(first.need.object),
            "privileges": ", ".join(dict.fromkeys(one.privilege for one in missing)),
            "why": first.judgement.why,
            "role": first.judgement.role,
        },
    )


def _cannot_tell(session: VsphereSession, known: Permissions, doubtful: list[_Doubt]) -> PermissionMissing:
    first = doubtful[0]
    return PermissionMissing(
        f"It cannot be told whether {session.account} has {first.privilege} on {first.need.path}: "
        "vCenter's answer and its permissions do not agree"
        + (" for what will be made there." if first.privilege in _INHERITED else "."),
        reason="permission-uncertain",
        evidence=_bounded(_rows(doubtful)),
        cause=first.judgement.text,
        remedy=_remedy(session, known, doubtful),
        fields={"account": session.account, "why": first.judgement.why, "role": first.judgement.role},
    )


_INHERITED = frozenset(one.id for one in roles.TABLE if one.propagates)


def _rows(doubts: Iterable[_Doubt]) -> list[str]:
    """One row for each object and reason: the object, its privileges with the vSphere Client's words, the reason."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in doubts:
        text = one.judgement.text or "the permissions that can be read grant it"
        rows.setdefault((one.need.path, one.need.kind, text), []).append(
            f"{one.privilege} ({roles.label_of(one.privilege)})"
        )
    return [f"{path} ({kind}): {', '.join(names)}: {text}" for (path, kind, text), names in rows.items()]


def _bounded(rows: list[str]) -> list[str]:
    if len(rows) <= MOST_ROWS:
        return rows
    return [*rows[:MOST_ROWS], f"and {len(rows) - MOST_ROWS} rows more"]


def _remedy(session: VsphereSession, known: Permissions, doubts: Sequence[_Doubt]) -> list[str]:
    """The change of roles as commands, PowerCLI first, then the same for govc."""
    lines = []
    for tool, title in (("powercli", "PowerCLI"), ("govc", "govc")):
        lines.append(f"{title}: " + "; ".join(_commands(tool, session.account, known, doubts)))
    return [
        f"Change the roles of {session.account} by the commands of one of the next two lines; the step then goes on.",
        *lines,
        "All roles that it needs: `pcg vsphere roles`.",
    ]


def _commands(tool: str, account: str, known: Permissions, doubts: Sequence[_Doubt]) -> list[str]:
    """Add to the account's own role where that is what lacks it; else assign the role of the table, whole."""
    additions: dict[str, dict[str, None]] = {}
    assigned: dict[str, tuple[str, bool]] = {}
    for one in doubts:
        judgement = one.judgement
        if judgement.why is Why.ROLE and judgement.changeable:
            additions.setdefault(judgement.role, {})[one.privilege] = None
        else:
            assigned[one.need.path] = _role_for(one.need)
    commands = [role_commands.add_to_role(tool, role, list(names)) for role, names in additions.items()]
    existing = {role.name: role.privileges for role in known.roles.values()}
    for role in dict.fromkeys(role for role, _ in assigned.values()):
        wanted = role_commands.privileges_of(role)
        if role not in existing:
            commands.append(role_commands.create_role(tool, role, wanted))
        elif lacking := [privilege for privilege in wanted if privilege not in existing[role]]:
            commands.append(role_commands.add_to_role(tool, role, lacking))
    for path, (role, propagates) in assigned.items():
        commands.append(role_commands.assign(tool, role, path, account, propagates=propagates))
    return commands


def _role_for(need: Need) -> tuple[str, bool]:
    """The whole role: an assignment on an object hides what the account inherits there."""
    wanted = dict.fromkeys(roles.ROLE_OF[one.assigned_on] for one in need.privileges)
    return "+".join(wanted), any(one.propagates for one in need.privileges)
