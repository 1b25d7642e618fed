"""What is said of missing privileges: one table, and the change of roles as commands.

Made by `privileges.py` in preflight. An assignment on an object replaces what the account inherits there, so a role
that is assigned is always the whole one of `roles.py`; a role of the account's own that lacks something is added to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pcg.clouds.vsphere import role_commands, roles
from pcg.clouds.vsphere.inventory import moid
from pcg.clouds.vsphere.permissions import Judgement, Permissions, Why
from pcg.clouds.vsphere.roles import Privilege
from pcg.errors import PermissionMissing

_MOST_ROWS = 24
"""rows of evidence; the record of a problem holds 32"""
_GRANTED = "the permissions that can be read grant it"


@dataclass(frozen=True)
class Need:
    """Privileges on one object; `path` is for a person and for commands, as is `parent`: where its role is assigned
    if not on itself.
    """

    object: Any
    path: str
    privileges: tuple[Privilege, ...]
    parent: str = ""

    @property
    def kind(self) -> str:
        return type(self.object).__name__.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Doubt:
    """A privilege on an object, and what is known of why it is missing there."""

    need: Need
    privilege: str
    judgement: Judgement
    of_children: bool = False
    """missing not on the object itself but on what will be made in it"""


@dataclass(frozen=True)
class Outcome:
    """What came out for one account."""

    account: str
    known: Permissions
    needs: Sequence[Need]
    missing: list[Doubt] = field(default_factory=list)
    doubtful: list[Doubt] = field(default_factory=list)

    def refusal(self) -> PermissionMissing:
        first = self.missing[0]
        objects = {one.need.path: None for one in self.missing}
        what = f"The account {self.account} lacks the privilege {first.privilege} on {first.need.path}."
        if len(self.missing) > 1:
            what = (
                f"The account {self.account} lacks {len(self.missing)} privileges on {', '.join(objects)}, "
                f"the first is {first.privilege}."
            )
        rows = [*_rows(self.missing), *(f"not certain: {row}" for row in _rows(self.doubtful))]
        return PermissionMissing(
            what,
            reason="permission-missing",
            evidence=_bounded(rows),
            cause=first.judgement.text[:1].upper() + first.judgement.text[1:] + ".",
            remedy=self._remedy(self.missing),
            fields={
                "privilege": first.privilege,
                "object": first.need.path,
                "object-type": first.need.kind,
                "account": self.account,
                "moid": moid(first.need.object),
                "privileges": ", ".join(dict.fromkeys(one.privilege for one in self.missing)),
                "why": first.judgement.why.value,
                "role": first.judgement.role,
            },
        )

    def uncertainty(self) -> PermissionMissing:
        """vCenter's answer and the permissions that can be read contradict each other: nothing is refused."""
        first = self.doubtful[0]
        return PermissionMissing(
            f"It cannot be told whether {self.account} has {first.privilege} on {first.need.path}"
            + (" and on what will be made there" if first.of_children else "")
            + ": vCenter's answer and its permissions do not agree.",
            reason="permission-uncertain",
            evidence=_bounded(_rows(self.doubtful)),
            cause=first.judgement.text or _GRANTED,
            remedy=self._remedy(self.doubtful),
            fields={"account": self.account, "why": first.judgement.why.value, "role": first.judgement.role},
        )

    def _remedy(self, doubts: Sequence[Doubt]) -> list[str]:
        return [
            f"Change the roles of {self.account} by the commands of one of the next two lines; the step then goes on.",
            "PowerCLI: " + "; ".join(self._commands("powercli", doubts)),
            "govc: " + "; ".join(self._commands("govc", doubts)),
            "All roles that it needs: `pcg vsphere roles`.",
        ]

    def _commands(self, tool: str, doubts: Sequence[Doubt]) -> list[str]:
        """Add to the account's own role where that is what lacks it; else assign the role of the table, whole."""
        additions: dict[str, dict[str, None]] = {}
        assigned: dict[str, tuple[str, bool]] = {}
        for one in doubts:
            judgement = one.judgement
            if judgement.why is Why.ROLE and judgement.changeable:
                additions.setdefault(judgement.role, {})[one.privilege] = None
            else:
                stands_on_it = judgement.on == moid(one.need.object)
                path = one.need.path if stands_on_it else one.need.parent or one.need.path
                assigned[path] = _role_on(path, self.needs)
        commands = [role_commands.add_to_role(tool, role, list(names)) for role, names in additions.items()]
        existing = {role.name: role.privileges for role in self.known.roles.values()}
        for role in dict.fromkeys(role for role, _ in assigned.values()):
            wanted = role_commands.privileges_of(role)
            if role not in existing:
                commands.append(role_commands.create_role(tool, role, wanted))
            elif lacking := [privilege for privilege in wanted if privilege not in existing[role]]:
                commands.append(role_commands.add_to_role(tool, role, lacking))
        for path, (role, propagates) in assigned.items():
            commands.append(role_commands.assign(tool, role, path, self.account, propagates=propagates))
        return commands


def _rows(doubts: Iterable[Doubt]) -> list[str]:
    """One row for each object and reason: the object, its privileges with the vSphere Client's words, the reason."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in doubts:
        text = one.judgement.text or _GRANTED
        rows.setdefault((one.need.path, one.need.kind, text), []).append(
            f"{one.privilege} ({roles.label_of(one.privilege)})"
        )
    return [f"{path} ({kind}): {', '.join(names)}: {text}" for (path, kind, text), names in rows.items()]


def _bounded(rows: list[str]) -> list[str]:
    if len(rows) <= _MOST_ROWS:
        return rows
    return [*rows[:_MOST_ROWS], f"and {len(rows) - _MOST_ROWS} rows more"]


def _role_on(path: str, needs: Sequence[Need]) -> tuple[str, bool]:
    """The whole role of an object, whatever of it is missing: an assignment hides what the account inherits there."""
    privileges = [one for need in needs if path in (need.path, need.parent) for one in need.privileges]
    wanted = dict.fromkeys(roles.ROLE_OF[one.assigned_on] for one in privileges)
    return "+".join(wanted), any(one.propagates for one in privileges)
