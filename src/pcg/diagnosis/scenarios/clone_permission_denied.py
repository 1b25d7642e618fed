"""The account may not clone: which privilege, on which object, for which account (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding
from pcg.model.states import Severity, StepName

SCENARIO = "clone-permission-denied"
SILENCED_BY: tuple[str, ...] = ()


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
            summary=f"{account} lacks the privilege {privilege} on {target}.",
            evidence=evidence_of(step, problem),
            remedy=[
                f"Add {privilege} to the role that {account} has on {target}, and let it propagate to its children.",
                *problem.remedy,
            ],
            link="docs/scenarios.md#clone-permission-denied",
            cured="The step machines goes on by itself at its next try.",
        )
        return
