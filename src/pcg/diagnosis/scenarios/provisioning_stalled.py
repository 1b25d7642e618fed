"""Provisioning stands still because something is used up: the pool of static addresses (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts, evidence_of
from pcg.model.records import Finding
from pcg.model.states import Severity, StepName

SCENARIO = "provisioning-stalled"
SILENCED_BY: tuple[str, ...] = ("clone-permission-denied", "stuck-after-container-manager", "address-not-assigned")


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.ADDRESSES, StepName.MACHINES):
        if problem.reason != "address-pool-exhausted":
            continue
        where = problem.fields.get("where", "the pool")
        needed, free = problem.fields.get("needed", "?"), problem.fields.get("free", "?")
        yield Finding(
            scenario=SCENARIO,
            cause="address-pool-exhausted",
            severity=Severity.ERROR,
            since=problem.at,
            summary=f"The address pool {where} has {free} free addresses; {needed} are needed (nodes and three more).",
            evidence=evidence_of(step, problem),
            remedy=[
                *problem.remedy,
                "Or remove the machines that hold addresses, and wait five minutes; reset when the pool is too small.",
            ],
            link="docs/scenarios.md#provisioning-stalled",
            cured="An address is claimed for every node, and the machines are made.",
        )
        return
