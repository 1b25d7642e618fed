"""Whether the gateway's account has what it needs, asked of vCenter before anything is made.

Used by `cloud.py` in preflight; what is needed stands in `roles.py`. vCenter's own answer decides. Roles, groups and
propagation (`permissions.py`) explain a missing privilege; where that explanation and the answer contradict each other,
the result is "cannot tell", never a refusal. The number of calls depends on how many objects the configuration names,
never on the size of the inventory or the number of privileges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pcg.clouds.base import Check
from pcg.clouds.vsphere import roles
from pcg.clouds.vsphere.inventory import moid
from pcg.clouds.vsphere.missing_privileges import Doubt, Need, Outcome
from pcg.clouds.vsphere.permission_reading import read_permissions
from pcg.clouds.vsphere.permissions import Permissions
from pcg.clouds.vsphere.roles import Privilege, Where
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place, Survey, folder_in
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import NotFound, PcgError
from pcg.model.configuration import Configuration

NAME = "privileges"
"""of the check"""


def least() -> list[str]:
    """Every privilege that the account needs anywhere: what one role for it would contain."""
    return roles.least()


def check(
    session: VsphereSession, survey: Survey, configuration: Configuration, template: Any | None, places: list[Place]
) -> Check:
    """One check for all placements: clear, refused with every missing privilege, or cannot tell. Blocks."""
    needs = _needs(survey, configuration, template, places)
    known, ancestors = read_permissions(
        session, {moid(need.object): need.path for need in needs}, [need.object for need in needs]
    )
    try:
        granted = _granted_on(session, needs)
        if ancestors and _is_open(replace(known, granted=granted), needs):
            granted |= _granted_above(session, needs, ancestors)
    except PcgError as problem:
        return Check(NAME, None, problem.what, problem)
    outcome = Outcome(session.account, replace(known, granted=granted), needs)
    for need in needs:
        has = granted.get(moid(need.object), frozenset())
        for privilege in need.privileges:
            _sort(outcome, need, privilege, privilege.id in has)
    if outcome.missing:
        refusal = outcome.refusal()
        return Check(NAME, False, refusal.what, refusal)
    if outcome.doubtful:
        doubt = outcome.uncertainty()
        return Check(NAME, None, doubt.what, doubt)
    count = sum(len(need.privileges) for need in needs)
    return Check(NAME, True, f"{session.account} has all {count} privileges that are needed on {len(needs)} objects")


def _needs(survey: Survey, configuration: Configuration, template: Any | None, places: list[Place]) -> list[Need]:
    """Each object once, whatever placements name it."""
    found: dict[str, Need] = {}
    importing = template is None and "://" in configuration.template.image

    def add(managed_object: Any, path: str, *where: Where, parent: str = "") -> None:
        wanted = [one for one in roles.TABLE if one.on in where and (importing or not one.for_import)]
        known = found.get(moid(managed_object))
        every = {one.id: one for one in (*(known.privileges if known else ()), *wanted)}
        if every:
            found[moid(managed_object)] = Need(managed_object, path, tuple(every.values()), parent)

    for place in places:
        root = f"/{place.datacenter.path}"
        add(place.folder.object, f"{root}/vm/{place.folder.path}", Where.FOLDER, Where.MACHINE)
        add(place.pool.object, f"{root}/host/{place.cluster.path}/{place.pool.path}", Where.POOL)
        add(place.datastore.object, f"{root}/datastore/{place.datastore.path}", Where.DATASTORE)
        add(place.network.object, f"{root}/network/{place.network.path}", Where.NETWORK)
    datacenter = places[0].datacenter
    root = f"/{datacenter.path}/vm"
    if template is not None:
        within = f"{root}/{folder_in(datacenter, configuration.template.folder)}"
        add(template, f"{within}/{configuration.template.name}", Where.TEMPLATE, parent=within)
        return list(found.values())
    if not importing:
        return list(found.values())  # no import can make a template that is named only
    try:
        folder = survey.folder(datacenter, configuration.template.folder, "template.folder")
        add(folder.object, f"{root}/{folder.path}", Where.TEMPLATE_FOLDER, Where.TEMPLATE)
    except NotFound:
        # The new folder will have only what reaches it from above.
        parent = datacenter.properties["vmFolder"]
        add(parent, root, Where.TEMPLATE_PARENT, Where.TEMPLATE_FOLDER, Where.TEMPLATE)
    return list(found.values())


def _is_open(known: Permissions, needs: list[Need]) -> bool:
    """Whether what can be read leaves it to groups: then vCenter's answer about the ancestors says more."""
    return any(
        len(judge(privilege.id, moid(need.object)).possible) > 1
        for need in needs
        for privilege in need.privileges
        for judge in (known.judge, known.judge_children)
    )


def _granted_above(session: VsphereSession, needs: list[Need], ancestors: list[Any]) -> dict[str, frozenset[str]]:
    """Nothing where the account may not ask about them: the objects themselves are enough."""
    try:
        return _granted(session, needs, ancestors)
    except PcgError:
        return {}


def _granted_on(session: VsphereSession, needs: list[Need]) -> dict[str, frozenset[str]]:
    """On the objects themselves. vCenter answers each question for each object, so the few that need much are asked
    about apart from the many that need little: half the bytes for one call more.
    """
    most = max(len(need.privileges) for need in needs)
    much = [need for need in needs if 2 * len(need.privileges) > most]
    little = [need for need in needs if 2 * len(need.privileges) <= most]
    granted: dict[str, frozenset[str]] = {}
    for group in (much, little):
        if group:
            granted |= _granted(session, group, [need.object for need in group])
    return granted


def _granted(session: VsphereSession, needs: list[Need], objects: list[Any]) -> dict[str, frozenset[str]]:
    """What vCenter says the account has, by object. Raises PcgError when it does not say."""
    manager = session.content.authorizationManager
    every = sorted({privilege.id for need in needs for privilege in need.privileges})
    refused: list[str] = []
    try:
        answer = manager.HasUserPrivilegeOnEntities(objects, session.user_name, every)
        return {
            moid(item.entity): frozenset(one.privId for one in item.privAvailability if one.isGranted)
            for item in answer
        }
    except vmodl.MethodFault as fault:
        refused.append(_refusal(fault, "HasUserPrivilegeOnEntities"))
    try:
        answer = manager.FetchUserPrivilegeOnEntities(objects, session.user_name)
        return {moid(item.entity): frozenset(item.privileges or []) for item in answer}
    except vmodl.MethodFault as fault:
        refused.append(_refusal(fault, "FetchUserPrivilegeOnEntities"))
    raise PcgError(
        f"The vCenter does not tell which privileges {session.account} has.",
        reason="privileges-not-told",
        evidence=refused,
        cause="It lets the account ask neither for single privileges nor for all of them.",
        remedy=["Compare the account's roles with `pcg vsphere roles`; else the first clone will tell."],
        fields={"account": session.account, "missing": "an answer of vCenter about the account's privileges"},
    )


def _refusal(fault: Any, method: str) -> str:
    if isinstance(fault, vim.fault.NotAuthenticated):
        raise fault  # the session has ended: it is renewed, and the question asked again
    kind = type(fault).__name__.rsplit(".", 1)[-1]
    return f"vCenter answered {method} with {kind}" + (f": {fault.msg}" if fault.msg else "")


def _sort(outcome: Outcome, need: Need, privilege: Privilege, granted: bool) -> None:
    """Into missing, doubtful or neither: vCenter's answer counts unless what can be read rules it out."""
    judgement = outcome.known.judge(privilege.id, moid(need.object))
    if not granted:
        into = outcome.missing if False in judgement.possible else outcome.doubtful
        into.append(Doubt(need, privilege.id, judgement))
        return
    if isinstance(need.object, vim.VirtualMachine):
        return  # it also inherits from its host and its pool, of which nothing is read here
    if judgement.possible == {False}:
        outcome.doubtful.append(Doubt(need, privilege.id, judgement))
    elif privilege.propagates:
        children = outcome.known.judge_children(privilege.id, moid(need.object))
        if children.possible == {False}:
            outcome.doubtful.append(Doubt(need, privilege.id, children, of_children=True))
