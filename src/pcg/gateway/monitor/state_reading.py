"""The gateway's state folder as someone who only looks sees it: nothing is written, nothing is waited for.

The gateway's process may be well, hung, dead or never started; its database locked, broken or absent. Whatever cannot
be read is told as trouble beside what can. Called by the pages and by diagnostic tasks; in a thread, since it reads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from pcg.gateway.bootstrap_steps import BootstrapReport
from pcg.gateway.identity import Registration
from pcg.gateway.kept_events import read_event
from pcg.gateway.memory import SavedSteps
from pcg.gateway.own_findings import read_findings
from pcg.gateway.signs_of_life import (
    BEAT_SECONDS,
    Alive,
    in_the_same_namespace,
    process_mark,
    read_alive,
)
from pcg.gateway.store_reading import looking_into
from pcg.model.desired import DesiredState
from pcg.model.records import Event, Finding, Problem, StepReport
from pcg.model.states import StepName

EVENTS_SHOWN = 50

SILENT_AFTER = timedelta(seconds=6 * BEAT_SECONDS)
"""without a beat: the process does not answer any more"""

_OF_A_REGISTRATION = 64 * 1024


class Life(StrEnum):
    RUNNING = "running"
    SILENT = "does-not-answer"
    ENDED = "not-running"
    NEVER = "never-started"
    UNKNOWN = "cannot-tell"


@dataclass
class Seen:
    """`at`: when it was looked; `last_beat`: when the process last turned; `troubles`: what could not be read."""

    at: datetime
    life: Life = Life.NEVER
    last_beat: datetime | None = None
    alive: Alive | None = None
    bootstrap: list[BootstrapReport] = field(default_factory=list)
    steps: list[StepReport] = field(default_factory=list)
    desired: DesiredState | None = None
    registration: Registration | None = None
    events: list[Event] = field(default_factory=list)
    """the newest first"""
    waiting: int | None = None
    """events that the console has not acknowledged yet"""
    findings: list[Finding] = field(default_factory=list)
    """open now, by its own judgement; also before it ever reached the console"""
    deleted: bool = False
    troubles: list[str] = field(default_factory=list)

    @property
    def ended(self) -> Problem | None:
        return self.alive.ended if self.alive is not None and self.life is Life.ENDED else None


def look(state: Path, now: datetime | None = None) -> Seen:
    seen = Seen(at=now or datetime.now(UTC), steps=[StepReport(name=name) for name in StepName])
    if not state.is_dir():
        seen.troubles.append(f"{state}: there is no such folder: the installer was never started with it")
        return seen
    seen.deleted = (state / "deleted").exists()
    _read_life(state, seen)
    _read_registration(state / "registration.json", seen)
    stored = _read_database(state / "gateway.db", seen)
    status = seen.alive.status if seen.alive is not None else None
    # What the process told stands in where the store could not be read.
    kept = stored if stored is not None else (status.steps if status else [])
    known = {step.name: step for step in kept}
    seen.steps = [known.get(step.name) or step for step in seen.steps]
    seen.bootstrap = seen.alive.bootstrap if seen.alive is not None else []
    seen.findings = read_findings(state).findings
    return seen


def _read_life(state: Path, seen: Seen) -> None:
    try:
        found = read_alive(state)
    except (OSError, ValueError) as error:
        seen.life = Life.UNKNOWN
        seen.troubles.append(f"what the gateway's process told cannot be read: {error}")
        return
    if found is None:
        return
    seen.alive, seen.last_beat = found
    mark, fresh = seen.alive.process, seen.at - seen.last_beat < SILENT_AFTER
    if in_the_same_namespace(mark):
        there = process_mark(int(mark.split(" ")[1])) == mark
        seen.life = (Life.RUNNING if fresh else Life.SILENT) if there else Life.ENDED
    elif seen.alive.stopped or seen.alive.ended is not None:
        seen.life = Life.ENDED
    else:
        # In another container: its beat is all that is seen of it.
        seen.life = Life.RUNNING if fresh else Life.ENDED


def _read_registration(path: Path, seen: Seen) -> None:
    try:
        with path.open() as file:
            seen.registration = Registration.model_validate_json(file.read(_OF_A_REGISTRATION))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        seen.troubles.append(f"{path.name} cannot be read: {_short(error)}")


def _read_database(path: Path, seen: Seen) -> list[StepReport] | None:
    """The steps that are stored there; None: unknown."""
    if not path.exists():
        if seen.life is not Life.NEVER and not seen.deleted:
            seen.troubles.append(f"{path.name} is not there")
        return None
    steps = None
    try:
        with looking_into(path) as database:
            rows = database.execute("SELECT key, value FROM memory WHERE key IN ('steps', 'desired')")
            memory = dict(rows.fetchall())
            if "steps" in memory:
                steps = SavedSteps.model_validate_json(memory["steps"]).steps
            if "desired" in memory:
                seen.desired = DesiredState.model_validate_json(memory["desired"])
            rows = database.execute("SELECT event FROM outbox ORDER BY position DESC LIMIT ?", (EVENTS_SHOWN,))
            seen.events = [read_event(str(row[0])) for row in rows]
            (seen.waiting,) = database.execute(
                "SELECT count(*) FROM outbox LEFT JOIN acknowledged USING (writer)"
                " WHERE outbox.number > ifnull(acknowledged.number, 0)"
            ).fetchone()
    except (OSError, sqlite3.Error, ValueError) as error:
        seen.troubles.append(f"{path.name} cannot be read now: {_short(error)}")
    return steps


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return f"{error.error_count()} values in it are not as this version writes them"
    return str(error)[:500]
