"""Jet restarts again and again. Before the gateway is configured and registered that is expected: a notice (seed)."""

from __future__ import annotations

from collections.abc import Iterator

from pcg.diagnosis.facts import Facts
from pcg.model.records import Evidence, Finding
from pcg.model.states import Severity, StepName

SCENARIO = "jet-crash-loop"
SILENCED_BY: tuple[str, ...] = ()


def examine(facts: Facts) -> Iterator[Finding]:
    looping = [jet for jet in facts.jets if jet.back_off]
    if not looping or facts.done(StepName.JET_REGISTERED):
        return
    yield Finding(
        scenario=SCENARIO,
        cause="awaiting-configuration",
        severity=Severity.INFO,
        since=min((jet.since or facts.now for jet in looping), default=facts.now),
        summary="Jet restarts with back-off because it has no authorization token yet: the gateway is not configured, "
        "or its cluster is still being built. This is expected.",
        evidence=[
            Evidence(
                source=f"jet ({jet.place})",
                text=f"CrashLoopBackOff after {jet.restarts} restarts: {jet.last_words}"[:4096],
                time=facts.now,
            )
            for jet in looping
        ],
        remedy=["Finish the gateway's configuration; jet heals by itself once its cluster is registered."],
        link="docs/scenarios.md#jet-crash-loop",
        cured="Jet is Running and ready, and the step jet-registered is done.",
    )
