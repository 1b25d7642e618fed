"""Nothing happens after `Created container manager`: the image's source cannot be reached (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding
from pcg.model.states import Severity, StepName

SCENARIO = "stuck-after-container-manager"
SILENCED_BY: tuple[str, ...] = ()


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.PREFLIGHT, StepName.TEMPLATE):
        url = problem.fields.get("url", "")
        if not url:
            continue
        yield Finding(
            scenario=SCENARIO,
            cause="image-source-unreachable",
            severity=Severity.ERROR,
            since=problem.at,
            summary=f"The node image cannot be fetched from {url}.",
            evidence=evidence_of(step, problem),
            remedy=[
                f"Open the path from the private cloud to {url} (name, firewall, proxy), or give another image source.",
                *problem.remedy,
            ],
            link="docs/scenarios.md#stuck-after-container-manager",
            cured="The image is fetched at the next try and the step template is done.",
        )
        return
