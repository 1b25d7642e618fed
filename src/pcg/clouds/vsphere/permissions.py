"""Why an account has a privilege on an object or lacks it: roles, groups and propagation, worked out from permissions.

Used by `privileges.py`. It explains vCenter's answer and never replaces it: who is a member of a group is not known
here, so the result is what is possible, and often that is both. Rules (VMware's security guide, inheritance of
permissions): the nearest object with a permission for the account counts; one that lies above counts only if it
propagates; an account's own permission goes before those of its groups on the same object; several groups add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Why(StrEnum):
    """How a missing privilege comes to be missing."""

    ROLE = "role-lacks"
    NOT_PROPAGATED = "not-propagated"
    HIDDEN = "hidden"
    GROUP = "group"
    NOTHING = "no-permission"


@dataclass(frozen=True)
class Permission:
    """`on` is the id of the object that it stands on."""

    on: str
    principal: str
    group: bool
    role: int
    propagates: bool


@dataclass(frozen=True)
class Role:
    name: str
    privileges: frozenset[str]
    system: bool = False
    """made by vCenter and not to be changed"""


@dataclass(frozen=True)
class Judgement:
    """`possible` holds True if the account may have the privilege, False if it may lack it; the rest is for False."""

    possible: frozenset[bool]
    why: Why = Why.NOTHING
    text: str = ""
    role: str = ""
    changeable: bool = False
    """whether adding the privilege to `role` mends it"""
    on: str = ""
    """id of the object on which the decisive permission stands"""


@dataclass(frozen=True)
class Permissions:
    """All that could be read. `chains` leads from an object to the root, the object itself first."""

    accounts: tuple[str, ...]
    """the ways in which the account may be spelled"""
    roles: Mapping[int, Role]
    by_object: Mapping[str, Sequence[Permission]]
    chains: Mapping[str, Sequence[str]]
    paths: Mapping[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    """objects whose permissions vCenter did not show"""
    granted: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """what vCenter itself says the account has, by object; of ancestors only what it lacks is used, so that an answer
    is never confirmed by itself"""

    def judge(self, privilege: str, on: str) -> Judgement:
        return self._judge(privilege, list(self.chains.get(on, [on])))

    def judge_children(self, privilege: str, on: str) -> Judgement:
        """The same for whatever will be made in this object: only what propagates reaches it."""
        return self._judge(privilege, ["", *self.chains.get(on, [on])])

    def _judge(self, privilege: str, chain: list[str]) -> Judgement:
        possible: set[bool] = set()
        decisive: Permission | None = None
        groups: list[Permission] = []
        settled = False
        """from here on upwards no group brings it, says vCenter"""
        for at in chain:
            here = [one for one in self.by_object.get(at, ()) if one.propagates or at == chain[0]]
            decisive = next((one for one in here if not one.group and self._is_account(one.principal)), None)
            settled = settled or (at != chain[0] and self._comes_not_through(privilege, at))
            if not settled and at in self.unreadable:
                possible |= {True, False}
            if decisive is not None:
                break
            if not settled:
                groups += [one for one in here if one.group]
        possible.add(decisive is not None and self._has(decisive, privilege))
        possible |= {self._has(group, privilege) for group in groups}
        if False not in possible:
            return Judgement(frozenset(possible))
        return self._explained(privilege, chain, frozenset(possible), decisive, groups)

    def _comes_not_through(self, privilege: str, at: str) -> bool:
        """Whether vCenter denies it on an ancestor that has just what it passes on: so no group brings it either."""
        passes_all = all(one.propagates for one in self.by_object.get(at, ()))
        return passes_all and at in self.granted and privilege not in self.granted[at]

    def _explained(
        self,
        privilege: str,
        chain: list[str],
        possible: frozenset[bool],
        decisive: Permission | None,
        groups: list[Permission],
    ) -> Judgement:
        above = [
            one
            for at in chain[1:]
            for one in self.by_object.get(at, ())
            if not one.group and self._is_account(one.principal) and self._has(one, privilege)
        ]
        for one in above:
            if not one.propagates:
                text = f"{self._told(one)} has it and does not propagate to children"
                return Judgement(possible, Why.NOT_PROPAGATED, text, self._name(one), False, one.on)
        if decisive is not None and not self._has(decisive, privilege):
            role = self.roles.get(decisive.role)
            text = f"{self._told(decisive)} lacks it"
            if above:
                text = f"{self._told(decisive)} lacks it and hides {self._told(above[0])}, which has it"
                return Judgement(possible, Why.HIDDEN, text, self._name(decisive), False, decisive.on)
            changeable = role is not None and not role.system
            return Judgement(possible, Why.ROLE, text, self._name(decisive), changeable, decisive.on)
        if groups:
            told = "; ".join(self._told_of_group(group, privilege) for group in groups[:4])
            text = f"no permission of the account itself decides; {told}"
            return Judgement(possible, Why.GROUP, text, self._name(groups[0]), False, groups[0].on)
        return Judgement(possible, Why.NOTHING, "no permission for the account stands there or reaches it from above")

    def _told_of_group(self, group: Permission, privilege: str) -> str:
        has = "has it, if the account is a member" if self._has(group, privilege) else "lacks it"
        return f"the role {self._name(group)} of the group {group.principal} on {self._path(group.on)} {has}"

    def _told(self, permission: Permission) -> str:
        return f"the role {self._name(permission)} on {self._path(permission.on)}"

    def _path(self, on: str) -> str:
        return self.paths.get(on, on)

    def _name(self, permission: Permission) -> str:
        role = self.roles.get(permission.role)
        return role.name if role is not None else f"number {permission.role}"

    def _has(self, permission: Permission, privilege: str) -> bool:
        role = self.roles.get(permission.role)
        return role is not None and privilege in role.privileges

    def _is_account(self, principal: str) -> bool:
        return any(same_account(principal, account) for account in self.accounts)


def same_account(one: str, other: str) -> bool:
    r"""Whether `svc@vsphere.local`, `VSPHERE.LOCAL\svc` and `svc` may be the same; case does not count.

    A directory's short name (`CORP`) and its full one (`corp.example.com`) are taken for the same when one begins with
    the other: nothing here may call a permission somebody else's that is the account's own.
    """
    first, second = _parts(one), _parts(other)
    if first[0] != second[0]:
        return False
    domains = sorted((first[1], second[1]), key=len)
    return domains[0] in ("", domains[1]) or domains[1].startswith(domains[0] + ".")


def _parts(account: str) -> tuple[str, str]:
    domain, separator, name = account.lower().rpartition("\\")
    if separator:
        return name, domain
    name, separator, domain = account.lower().rpartition("@")
    return (name, domain) if separator else (account.lower(), "")
