"""The named steps from an installer's start to a working gateway: which one is at work, and what hinders it.

    network           the first hop's name is resolved, and its port answers
    time              this machine's clock against the console's
    console-reached   the console's CA fits the pin, TLS is verified, the console says who it is
    registered        the pairing code was accepted for this gateway's keys
    release-manifest  what the console lists for this release
    artifacts         each of it fetched and verified
    manager           session and reconciler run

Each end and each new trouble is one line for whoever watches the screen or the log, and one event in the outbox, which
the console gets as soon as there is a session. Filled in by `bootstrap` and the agent; `reports` is where it all
stands, for the installer's own page.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn

from pcg.clock import Clock
from pcg.errors import PcgError
from pcg.gateway.console_way import ConsoleWay
from pcg.gateway.requests import problem_of
from pcg.model.records import Event, Problem, Record
from pcg.model.states import REGISTRATION_OVERDUE_SECONDS, Severity, StepState

Say = Callable[[str], None]
Tell = Callable[[Event], None]


class BootstrapStep(StrEnum):
    """In the order in which they run."""

    NETWORK = "network"
    TIME = "time"
    CONSOLE_REACHED = "console-reached"
    REGISTERED = "registered"
    RELEASE_MANIFEST = "release-manifest"
    ARTIFACTS = "artifacts"
    MANAGER = "manager"


class BootstrapReport(Record):
    """Where one step stands. `since`: in this state; `detail`: what it found when it was done."""

    name: BootstrapStep
    state: StepState = StepState.WAITING
    since: datetime | None = None
    seconds: float | None = None
    detail: str = ""
    last_error: Problem | None = None
    next_try: datetime | None = None


def one_line(error: PcgError) -> str:
    """What and evidence of an error on one line."""
    return " · ".join([error.what, *error.evidence])


class BootstrapSteps:
    """`say` prints a line; `tell` stores an event durably; `way` keeps the trouble for diagnosis.

    `overdue_after` is in seconds.
    """

    def __init__(
        self,
        clock: Clock,
        say: Say,
        tell: Tell = lambda event: None,
        way: ConsoleWay | None = None,
        overdue_after: float = REGISTRATION_OVERDUE_SECONDS,
    ) -> None:
        self.present: BootstrapStep | None = None
        self._clock = clock
        self._say = say
        self._tell = tell
        self._way = way or ConsoleWay(clock)
        self._overdue_after = overdue_after
        self._spent: dict[BootstrapStep, float] = {}
        self._done: set[BootstrapStep] = set()
        self._since = clock.monotonic()
        self._told = ""
        self._last_words = ""
        self._warned: set[str] = set()
        self._reports = {name: BootstrapReport(name=name) for name in BootstrapStep}

    def note(self, line: str) -> None:
        """Something worth a line that ends no step."""
        self._say(line)

    def begin(self, step: BootstrapStep) -> None:
        """Whatever ran before has ended, done or not."""
        self._spend()
        self.present = step
        report = self._reports[step]
        if report.state in (StepState.WAITING, StepState.FAILED):
            # One that failed keeps its error until this try has told otherwise.
            self._reports[step] = report.model_copy(
                update={"state": StepState.RUNNING, "since": self._clock.now(), "next_try": None}
            )

    def known(self, detail: str, *steps: BootstrapStep) -> None:
        """Done by an earlier process, and not looked at again: neither a line nor an event."""
        for step in steps:
            self._done.add(step)
            self._reports[step] = BootstrapReport(name=step, state=StepState.DONE, detail=detail)

    def reports(self) -> list[BootstrapReport]:
        return list(self._reports.values())

    def done(self, detail: str) -> None:
        """The present step is done. Told once, unless it failed in between."""
        step = self.present
        if step is None or step in self._done:
            return
        self._spend()
        self._done.add(step)
        self._told = self._last_words = ""
        self._way.cleared()
        seconds = f"{self._spent[step]:.2f}"
        self._reports[step] = BootstrapReport(
            name=step, state=StepState.DONE, since=self._clock.now(), seconds=round(self._spent[step], 3), detail=detail
        )
        self._say(f"bootstrap: {step.value}: done in {seconds} s: {detail}")
        self._event("BootstrapStepDone", Severity.INFO, f"{step.value}: {detail}", step, seconds=seconds)

    def warn(self, reason: str, line: str) -> None:
        """The present step goes on, but a person should know; told once, however often it is met."""
        if line in self._warned:
            return
        self._warned.add(line)
        self._say(f"note: {line}")
        if self.present is not None:
            self._event(reason, Severity.WARNING, line, self.present)

    def failed(self, error: PcgError, attempt: int, wait: float) -> None:
        """The present step did not succeed this time; it is tried again after `wait` seconds.

        Every try is a line; the event is one for each new trouble, however often it is met.
        """
        step = self.present or BootstrapStep.NETWORK
        self._spend()
        self._done.discard(step)
        self._last_words = one_line(error)
        self._way.hindered(step.value, error)
        now = self._clock.now()
        self._reports[step] = BootstrapReport(
            name=step,
            state=StepState.FAILED,
            since=now,
            last_error=problem_of(error, self._clock),
            next_try=now + timedelta(seconds=wait),
        )
        self._say(f"bootstrap: {step.value}: try {attempt} failed: {self._last_words}; next try in {wait:.1f} s")
        if error.remedy and error.reason != self._told:
            self._say(f"  remedy: {error.remedy[0]}")
        if error.reason != self._told:
            self._told = error.reason
            self._event(
                "BootstrapStepFailed", Severity.WARNING, f"{step.value}: {error.what}", step, trouble=error.reason
            )

    async def watch_overdue(self) -> NoReturn:
        """Say after ten minutes, and every ten minutes, which step has taken longest (seed: five to ten is usual)."""
        waited = 0.0
        while True:
            await self._clock.sleep(self._overdue_after)
            waited += self._overdue_after
            self._spend()
            step = max(self._spent, key=lambda name: self._spent[name], default=BootstrapStep.NETWORK)
            line = (
                f"not registered after {waited / 60:g} minutes; most of it went into {step.value} "
                f"({self._spent.get(step, 0.0):.0f} s)"
            )
            line += f": {self._last_words}" if self._last_words else ""
            self._say(f"registration-overdue: {line}; it goes on trying")
            self._event("RegistrationOverdue", Severity.WARNING, line, step)
            self._way.overdue(f"{line}; it goes on trying")

    def _spend(self) -> None:
        """What passed since the last call went into the present step, its waits included."""
        now = self._clock.monotonic()
        if self.present is not None:
            self._spent[self.present] = self._spent.get(self.present, 0.0) + now - self._since
        self._since = now

    def _event(self, reason: str, severity: Severity, message: str, step: BootstrapStep, **fields: str) -> None:
        self._tell(
            Event(
                at=self._clock.now(),
                severity=severity,
                reason=reason,
                message=message[:4096],
                fields={"bootstrap-step": step.value, **fields},
            )
        )
