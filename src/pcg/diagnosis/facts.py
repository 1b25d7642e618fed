"""What scenarios look at: the observed facts of one gateway, gathered by whoever asks. No input or output here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pcg.model.records import Evidence, Finding, GatewayStatus, Problem, StepReport
from pcg.model.states import Severity, StepName, StepState


@dataclass(frozen=True)
class JetFact:
    """One jet as its restart policy sees it."""

    place: str
    """installer or cluster"""
    restarts: int
    back_off: bool
    """in CrashLoopBackOff now"""
    since: datetime | None
    words: Sequence[str] = ()
    """the last lines of its present run, or while that is silent of the one before"""
    ready: bool = False
    last_exit: int | None = None
    """None: it has not ended by itself since it was started on purpose"""


@dataclass(frozen=True)
class WayFact:
    """The way to the console, as this machine's installer or gateway has met it."""

    registered: bool
    step: str = ""
    """of the bootstrap, or `session`: where the trouble was met"""
    trouble: Problem | None = None
    """what hinders it now"""
    notices: Sequence[Problem] = ()
    """what was put right by itself"""
    overdue: Problem | None = None
    """it has not registered for longer than is usual"""
    by_polling: Problem | None = None
    """why the session goes by long polling, while it does"""
    upgraded: bool = False
    """a session by WebSocket stood in the life of this process"""


@dataclass(frozen=True)
class Facts:
    now: datetime
    status: GatewayStatus
    jets: Sequence[JetFact] = ()
    way: WayFact | None = None

    def step(self, name: StepName) -> StepReport | None:
        return next((step for step in self.status.steps if step.name == name), None)

    def done(self, name: StepName) -> bool:
        step = self.step(name)
        return step is not None and step.state is StepState.DONE

    def problems(self, *names: StepName) -> Iterator[tuple[StepReport, Problem]]:
        """Present problems of these steps: a step that is done has none, whatever it met on its way."""
        for name in names:
            step = self.step(name)
            if step and step.last_error and step.state in (StepState.FAILED, StepState.BLOCKED, StepState.RUNNING):
                yield step, step.last_error


def evidence_of(step: StepReport, problem: Problem) -> list[Evidence]:
    """A problem's own words and whatever it named as evidence."""
    source = f"step {step.name}"
    return [Evidence(source=source, text=text, time=problem.at) for text in (problem.what, *problem.evidence)][:32]


def finding_of(
    scenario: str,
    cause: str,
    step: StepReport,
    problem: Problem,
    *,
    summary: str,
    cured: str,
    remedy: Sequence[str] | None = None,
) -> Finding:
    """What a step's problem is called. `remedy` None: the problem's own."""
    return Finding(
        scenario=scenario,
        cause=cause,
        severity=Severity.ERROR,
        since=problem.at,
        summary=summary[:1024],
        evidence=evidence_of(step, problem),
        remedy=list(problem.remedy if remedy is None else remedy)[:16],
        link=f"docs/scenarios.md#{scenario}",
        cured=cured,
    )
