"""What scenarios look at: the observed facts of one gateway, gathered by whoever asks. No input or output here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pcg.diagnosis.probes.answer import ProbeAnswer
from pcg.model.drift import Drift
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
class InstallerFact:
    """What this machine tells of its installer, where somebody looks on the machine itself."""

    registered: bool
    began: bool
    """a registration was ever tried from here"""
    expected: str = ""
    """the sign that this machine shall be an installer; empty: there is none"""
    properties: str = ""
    """why the machine has no properties of the appliance; empty: it has, or needs none"""


@dataclass(frozen=True)
class Facts:
    now: datetime
    status: GatewayStatus
    jets: Sequence[JetFact] = ()
    way: WayFact | None = None
    drifts: Sequence[Drift] = ()
    """what others did to machines and is not mended yet"""
    vcenter_typed: str | None = None
    """vCenter's address as it was typed, where a scheme had to be taken off it"""
    probes: Sequence[ProbeAnswer] = ()
    """what was asked just now; none while the gateway looks at its own status"""
    installer: InstallerFact | None = None
    """None: nobody looks on the machine itself"""

    @property
    def asked(self) -> bool:
        """Somebody looks on the machine itself."""
        return self.installer is not None

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
        step=step.name,
    )


def waited_for(
    facts: Facts, scenario: str, causes: Mapping[str, str], steps: Sequence[StepName], cured: str
) -> Iterator[Finding]:
    """The first of these steps' problems whose reason tells a cause, in the problem's own words."""
    for step, problem in facts.problems(*steps):
        cause = causes.get(problem.reason)
        if cause is not None:
            yield finding_of(scenario, cause, step, problem, summary=problem.what, cured=cured)
            return
