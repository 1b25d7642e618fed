"""The states of the ten steps: only the reconciler writes them, and each change is committed with its event.

Split from the reconciler so that its pass stays on one screen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pcg.clock import Clock
from pcg.errors import AskPerson, PcgError
from pcg.gateway.memory import Memory
from pcg.gateway.requests import problem_of
from pcg.gateway.store import GatewayStore
from pcg.model.records import Event, StepReport
from pcg.model.states import Severity, StepName, StepState


class Ledger:
    def __init__(self, store: GatewayStore, memory: Memory, clock: Clock) -> None:
        self._store = store
        self._memory = memory
        self._clock = clock
        self.progressed_at = clock.monotonic()
        """when a step or machine last came further; for `stalled`"""
        self._uncured: dict[StepName, tuple[str, str]] = {}
        """what each step last failed of, until it is done: a try in between is neither news nor progress"""

    def reports(self) -> list[StepReport]:
        return [self._memory.steps.get(name) or StepReport(name=name) for name in StepName]

    def is_done(self, name: StepName) -> bool:
        step = self._memory.steps.get(name)
        return step is not None and step.state is StepState.DONE

    def begin_generation(self, generation: int, *, keep: bool) -> None:
        """Another generation is wanted: all steps are looked at anew. `keep`: the clock of finished ones goes on."""
        if not keep:
            self._memory.steps = {}
        else:
            waiting = {"state": StepState.WAITING, "task": "", "last_error": None, "next_try": None}
            self._memory.steps = {name: step.model_copy(update=waiting) for name, step in self._memory.steps.items()}
        self._uncured = {}
        self._memory.steps_generation = generation
        self._memory.save_steps()
        self.progressed_at = self._clock.monotonic()

    def reopen(self, *names: StepName) -> None:
        """Done steps that the world has undone."""
        for name in names:
            step = self._memory.steps.get(name)
            if step is not None and step.state is StepState.DONE:
                self._memory.steps[name] = step.model_copy(update={"state": StepState.WAITING, "since": self._now()})
        self._memory.save_steps()

    def begin(self, name: StepName) -> bool:
        """A waiting step is at work now. One that failed keeps its error until its next try has told otherwise."""
        step = self._memory.steps.get(name)
        return (step is None or step.state is StepState.WAITING) and self.run(name, "")

    def run(self, name: StepName, task: str) -> bool:
        """The step goes on and waits for something; whether that is news."""
        step = self._memory.steps.get(name) or StepReport(name=name)
        if step.state is StepState.RUNNING and step.task == task and step.last_error is None:
            return False
        began = step.state in (StepState.WAITING, StepState.DONE)
        changed: dict[str, Any] = {"state": StepState.RUNNING, "task": task[:512], "last_error": None, "next_try": None}
        if step.state is not StepState.RUNNING:
            changed["since"] = self._now()
        if began:
            changed["seconds"] = None
        self._commit(name, step.model_copy(update=changed), progressed=began)
        return True

    def done(self, name: StepName) -> bool:
        """Whether that is news."""
        step = self._memory.steps.get(name) or StepReport(name=name)
        if step.state is StepState.DONE:
            return False
        now = self._now()
        began = step.since if step.state is not StepState.WAITING and step.since else now
        seconds = step.seconds if step.seconds is not None else max(0.0, (now - began).total_seconds())
        update = {
            "state": StepState.DONE,
            "since": now,
            "task": "",
            "last_error": None,
            "next_try": None,
            "seconds": round(seconds, 3),
        }
        event = Event(at=now, reason="StepDone", message=f"{name} is done.", step=name)
        if step.last_error is not None:
            event = event.model_copy(update={"message": f"{name} is done, after: {step.last_error.what}"[:4096]})
        self._uncured.pop(name, None)
        self._commit(name, step.model_copy(update=update), event)
        return True

    def failed(self, name: StepName, error: PcgError, retry_after: float | None) -> None:
        """`retry_after` None: at the next change. The same error again makes no new event."""
        step = self._memory.steps.get(name) or StepReport(name=name)
        state = StepState.BLOCKED if isinstance(error, AskPerson) else StepState.FAILED
        problem = problem_of(error, self._clock)
        now = self._now()
        if step.last_error is not None:
            self._uncured[name] = (step.last_error.reason, step.last_error.what)
        same = self._uncured.get(name) == (problem.reason, problem.what)
        self._uncured[name] = (problem.reason, problem.what)
        if same and step.last_error is not None:
            problem = problem.model_copy(update={"at": step.last_error.at})
        update = {
            "state": state,
            "since": step.since if step.state is state else now,
            "last_error": problem,
            "next_try": None if retry_after is None else now + timedelta(seconds=retry_after),
        }
        event = None
        if not same:
            message = " · ".join([error.what, *error.evidence[:3]])[:4096]
            event = Event(
                at=now, severity=Severity.ERROR, reason="StepFailed", message=message, step=name, fields=_short(error)
            )
        self._commit(name, step.model_copy(update=update), event, progressed=not same)

    def _commit(self, name: StepName, report: StepReport, event: Event | None = None, progressed: bool = True) -> None:
        with self._store.transaction():
            self._memory.steps[name] = report
            self._memory.save_steps()
            if event is not None:
                self._store.append(event)
        if progressed:
            self.progressed_at = self._clock.monotonic()

    def _now(self) -> datetime:
        return self._clock.now()


def _short(error: PcgError) -> dict[str, str]:
    return {name: value[:512] for name, value in list(error.fields.items())[:32]}
