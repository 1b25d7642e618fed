"""Step 3: everything that can be known before anything is made. A check that cannot tell does not stand in the way."""

from __future__ import annotations

from pcg.errors import PcgError, ResourcesMissing
from pcg.gateway.preflight_checks import preflight_checks
from pcg.gateway.steps.outcome import Done, Failed, Outcome, Situation
from pcg.model.states import Severity


async def preflight(situation: Situation) -> Outcome:
    checks = await preflight_checks(situation)
    failed = [check for check in checks if check.ok is False]
    if failed:
        problem = failed[0].problem
        error = problem if isinstance(problem, PcgError) else ResourcesMissing(failed[0].what, reason="preflight")
        error.evidence += [f"check {check.name}: {check.what}" for check in failed[1:]]
        return Failed(error)
    unknown = [check for check in checks if check.ok is None]
    generation = situation.desired.generation
    for check in unknown:
        situation.tell_once(
            f"preflight {generation} {check.name}",
            "PreflightCannotTell",
            f"{check.name}: {check.what}",
            severity=Severity.WARNING,
        )
    situation.tell_once(
        f"preflight {generation}", "PreflightPassed", f"{len(checks) - len(unknown)} of {len(checks)} checks are clear."
    )
    return Done()
