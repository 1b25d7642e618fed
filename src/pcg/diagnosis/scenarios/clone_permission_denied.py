"""The account may not clone: which privilege, on which object, for which account (seed)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding
from pcg.model.states import Severity, StepName

SCENARIO = "clone-permission-denied"
SILENCED_BY: tuple[str, ...] = ()

_HOW = {
    "role-lacks": "the role {role} lacks it",
    "not-propagated": "the role {role} has it but does not propagate to children",
    "hidden": "the role {role}, assigned nearer to it, lacks it and hides the one above that has it",
    "group": "only groups of the account have roles there",
    "no-permission": "no role of the account reaches it",
}
"""what the field `why` means, if the cloud could tell; {role} is the field of that name"""
_REMEDIES = {
    "role-lacks": "Add {privilege} to the role {role} of {account}.",
    "not-propagated": "Let the role {role} of {account} propagate to children, or assign it on {target} itself.",
    "hidden": "Replace the role {role} of {account} by one that has {privilege}.",
}


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.PREFLIGHT, StepName.MACHINES):
        privilege = problem.fields.get("privilege", "")
        if not privilege:
            continue
        target, account = problem.fields.get("object", "an object"), problem.fields.get("account", "the account")
        yield Finding(
            scenario=SCENARIO,
            cause="privilege-missing",
            severity=Severity.ERROR,
            since=problem.at,
            summary=_summary(problem.fields, privilege, target, account),
            evidence=evidence_of(step, problem),
            remedy=[_remedy(problem.fields, privilege, target, account), *problem.remedy][:16],
            link="docs/scenarios.md#clone-permission-denied",
            cured="The step machines goes on by itself at its next try.",
        )
        return


def _summary(fields: Mapping[str, str], privilege: str, target: str, account: str) -> str:
    others = [one for one in fields.get("privileges", "").split(", ") if one and one != privilege]
    more = f" and {len(others)} more privileges" if others else ""
    how = _HOW.get(fields.get("why", ""), "").format(role=fields.get("role", ""))
    return f"{account} lacks the privilege {privilege} on {target}{more}{f': {how}' if how else ''}."[:1024]


def _remedy(fields: Mapping[str, str], privilege: str, target: str, account: str) -> str:
    otherwise = "Add {privilege} to the role that {account} has on {target}, and let it propagate to its children."
    wanted = _REMEDIES.get(fields.get("why", ""), otherwise)
    return wanted.format(privilege=privilege, target=target, account=account, role=fields.get("role", ""))
