"""The diagnostic tasks that a person can start on the installer's own page, and what each one told.

A task is one entry of TASKS: a name, what it looks at, and a function that says lines as it goes and gives a result. It
changes nothing. One run of each at a time; the last result of each stays until the next. Used by `pages.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pcg.bundle.reading import read_logs
from pcg.clock import Clock
from pcg.diagnosis.probes.answer import Outcome, ProbeAnswer
from pcg.errors import Busy, NotFound, PcgError
from pcg.gateway.machine_knowledge import Given
from pcg.gateway.monitor.log_sources import LogSources
from pcg.gateway.monitor.state_reading import Life, look
from pcg.gateway.this_machine import examine_this_machine
from pcg.model.records import Finding
from pcg.model.states import Severity

TASK_SECONDS = 300.0
MAXIMUM_LINES = 200

Say = Callable[[str], None]


class Verdict(StrEnum):
    WELL = "well"
    FOUND = "found"
    """something is wrong, and the lines or findings say what"""
    UNDECIDED = "cannot-tell"


@dataclass(frozen=True)
class Result:
    verdict: Verdict
    findings: Sequence[Finding] = ()


@dataclass(frozen=True)
class Machine:
    """What a task may look at."""

    given: Given
    logs: LogSources
    clock: Clock


@dataclass(frozen=True)
class Task:
    name: str
    title: str
    what: str
    run: Callable[[Machine, Say], Awaitable[Result]]


@dataclass
class Run:
    """`lines` grow while it runs; `error` is what stopped it."""

    task: Task
    started: datetime
    lines: list[str] = field(default_factory=list)
    result: Result | None = None
    error: PcgError | None = None
    seconds: float | None = None
    """None: it runs"""

    def say(self, line: str) -> None:
        if len(self.lines) < MAXIMUM_LINES:
            self.lines.append(line[:2000])


class TaskRuns:
    def __init__(self, machine: Machine, tasks: Sequence[Task] | None = None) -> None:
        self.tasks = {task.name: task for task in (TASKS if tasks is None else tasks)}
        self._machine = machine
        self._last: dict[str, Run] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def last(self, name: str) -> Run | None:
        return self._last.get(name)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def start(self, name: str) -> None:
        """Raises NotFound, and Busy while it runs already."""
        task = self.tasks.get(name)
        if task is None:
            raise NotFound("There is no such task.", reason="no-such-task")
        if name in self._running:
            raise Busy(f"{task.title} is running already.", reason="task-running")
        run = self._last[name] = Run(task, self._machine.clock.now())
        self._running[name] = asyncio.create_task(self._run(run))

    async def close(self) -> None:
        for running in list(self._running.values()):
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(self, run: Run) -> None:
        clock = self._machine.clock
        began = clock.monotonic()
        try:
            async with asyncio.timeout(TASK_SECONDS):
                run.result = await run.task.run(self._machine, run.say)
        except PcgError as error:
            run.error = error
        except TimeoutError:
            run.error = Busy(f"It was not done within {TASK_SECONDS:.0f} seconds.", reason="task-timed-out")
        except Exception as error:  # noqa: BLE001 - a task's own fault is told where its result would stand
            run.error = PcgError(f"The task itself failed: {type(error).__name__}: {error}", reason="task-failed")
        finally:
            run.seconds = round(clock.monotonic() - began, 1)
            del self._running[run.task.name]


async def _gateway(machine: Machine, say: Say) -> Result:
    seen = await asyncio.to_thread(look, machine.given.state)
    say(
        f"process: {seen.life.value}"
        + (f", last seen {seen.last_beat:%Y-%m-%d %H:%M:%S} UTC" if seen.last_beat else "")
    )
    for trouble in seen.troubles:
        say(trouble)
    open_steps = [step for step in seen.bootstrap if step.state != "done"]
    for step in open_steps:
        say(f"bootstrap {step.name}: {step.state}" + (f": {step.last_error.what}" if step.last_error else ""))
    failures = [finding for finding in seen.findings if finding.severity is not Severity.INFO]
    well = seen.life is Life.RUNNING and not seen.troubles and not open_steps and not failures
    return Result(Verdict.WELL if well else Verdict.FOUND, seen.findings)


async def _logs(machine: Machine, say: Say) -> Result:
    say(f"reading {machine.logs.folder}")
    reading = await asyncio.to_thread(read_logs, machine.logs.folder, machine.clock.now())
    say(f"read {reading.lines} lines in {reading.files} files")
    for name, reason in reading.unread:
        say(f"not read: {name}: {reason}")
    unknown = [checked for checked in reading.verdict.checked if checked.answer == "cannot-tell"]
    for checked in unknown:
        say(f"could not be told: {checked.scenario}: without {'; '.join(checked.missing)}")
    if reading.verdict.findings:
        return Result(Verdict.FOUND, [*reading.verdict.findings, *reading.verdict.notices])
    return Result(Verdict.UNDECIDED if unknown else Verdict.WELL, reading.verdict.notices)


async def _machine(machine: Machine, say: Say) -> Result:
    def heard(answer: ProbeAnswer) -> None:
        say(f"{answer.about.value}: {answer.probe} {answer.target}: {answer.answer.value} {answer.detail}".rstrip())

    report = await examine_this_machine(machine.given, machine.clock.now(), logs=None, heard=heard)
    for name, reason in report.unread:
        say(f"not read: {name}: {reason}")
    verdict = report.verdict
    if verdict.findings:
        return Result(Verdict.FOUND, [*verdict.findings, *verdict.notices])
    unknown = [answer for answer in report.probes if answer.answer is Outcome.UNKNOWN]
    return Result(Verdict.UNDECIDED if unknown or not report.probes else Verdict.WELL, verdict.notices)


TASKS = (
    Task(
        "gateway", "The gateway on this machine", "Its process, its state folder, and what it found itself.", _gateway
    ),
    Task("logs", "The logs of this machine", "Looks for every known failure, as `pcg doctor` does.", _logs),
    Task(
        "machine",
        "The ways from this machine",
        "Console, private cloud, image, time and cluster, hop by hop, as `pcg doctor` does.",
        _machine,
    ),
)
