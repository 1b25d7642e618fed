"""The gateway's memory on disk: one SQLite file for the outbox of events and for what the reconciler remembers.

A change of memory and the events that tell of it are committed together (synchronous=FULL), so that a kill at any
moment loses neither or both. Calls are synchronous and small: a commit is the point after which something may be
acted on or sent. Used by the session (outbox), the reconciler (memory) and the installer.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pcg.errors import SetupMissing, TryAgain
from pcg.gateway.kept_events import KEPT_BYTES, KEPT_EVENTS, PENDING, SCHEMA, KeptEvents, Moved, read_event
from pcg.model.records import Event
from pcg.model.states import Severity
from pcg.wire.frames import MAXIMUM_REPORTS, MAXIMUM_WRITERS, Report

OUTBOX_LIMIT = 100_000
"""events kept while the console is away; beyond it the oldest go, and one event tells how many"""

MAXIMUM_EVENT_BYTES = 48 * 1024
"""as JSON; an event that no frame could carry would stop all others behind it"""

_DROPPED = "outbox-dropped"
"""memory: how many events were ever dropped"""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    writer TEXT NOT NULL, number INTEGER NOT NULL, event TEXT NOT NULL,
    UNIQUE (writer, number));
CREATE TABLE IF NOT EXISTS memory (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class GatewayStore:
    """I live as long as the process: a new writer id each time, so that a restored older file can hide nothing."""

    def __init__(
        self,
        path: Path | str,
        *,
        outbox_limit: int = OUTBOX_LIMIT,
        kept_limit: int = KEPT_EVENTS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.writer = uuid.uuid4().hex
        self._limit = outbox_limit
        self._number = 0
        self._depth = 0
        self._appended = asyncio.Event()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA + SCHEMA)
            # Counted once: the bound is checked at every event and must not cost a scan.
            (self._count,) = self._database.execute(f"SELECT count(*) {PENDING}", (0,)).fetchone()
            self._kept = KeptEvents(self._database, kept_limit, kept_bytes)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All within becomes durable together, or nothing. An inner transaction joins the outer one."""
        if self._depth:
            yield
            return
        self._depth, number, count, kept = 1, self._number, self._count, self._kept.state
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            self._number, self._count, self._kept.state = number, count, kept
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _not_written(error) from error
            raise
        finally:
            self._depth = 0
        if self._number > number:
            self._appended.set()

    def append(self, event: Event) -> None:
        """Durable when it returns, or with the transaction around it."""
        with self.transaction():
            self._insert(event)
            self._bound(event)
            self._kept.trim(event.at)

    def forget(self) -> None:
        """Empty everything: the gateway was deleted."""
        with self.transaction():
            self._database.execute("DELETE FROM outbox")
            self._database.execute("DELETE FROM memory")
            self._kept.forget()
            self._count = 0

    def pending(self, after: int = 0, limit: int = MAXIMUM_REPORTS) -> tuple[int, list[Report]]:
        """Events not acknowledged yet, in order, and the position up to which they go (to be passed as `after`)."""
        rows = self._database.execute(
            f"SELECT position, outbox.writer, outbox.number, event {PENDING} ORDER BY position LIMIT ?", (after, limit)
        ).fetchall()
        reports = [Report(writer=row[1], number=row[2], event=read_event(row[3])) for row in rows]
        return (rows[-1][0] if rows else after), reports

    async def wait_appended(self) -> None:
        """Until an event was appended after the last return of this method."""
        await self._appended.wait()
        self._appended.clear()

    def acknowledge(self, stored: dict[str, int]) -> None:
        """The console has stored all numbers of these writers up to and with the given one."""
        self._mark(stored, lower=False)

    def console_has(self, stored: dict[str, int], now: datetime) -> None:
        """What a console names when it welcomes us. Where it is less than was acknowledged, the console was restored
        from an older backup: what is kept waits again, and an event tells what is not. Writers that it does not name
        stay as they are: it was asked for every one that matters (`writers`), unless it is an older console.
        """
        with self.transaction():
            missing = sum(moved.missing for moved in self._mark(stored, lower=True))
            if missing:
                message = f"{missing} events that the console has lost are not kept here any more."
                fields = {"count": str(missing)}
                self.append(
                    Event(at=now, severity=Severity.WARNING, reason="EventsNotKept", message=message, fields=fields)
                )

    def writers(self) -> list[str]:
        """Of whom events are here, acknowledged or not; the latest first, as many as a proof may name."""
        return self._kept.writers(MAXIMUM_WRITERS)

    def get(self, key: str) -> str | None:
        row = self._database.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, value: str | None) -> None:
        """None forgets the key."""
        with self.transaction():
            if value is None:
                self._database.execute("DELETE FROM memory WHERE key = ?", (key,))
            else:
                self._database.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (key, value))

    def _mark(self, stored: dict[str, int], *, lower: bool) -> list[Moved]:
        with self.transaction():
            moves = [self._kept.mark(writer, number, lower=lower) for writer, number in stored.items()]
            self._count -= sum(moved.done for moved in moves)
        return moves

    def _insert(self, event: Event) -> None:
        self._database.execute(
            "INSERT INTO outbox (writer, number, event) VALUES (?, ?, ?)",
            (self.writer, self._number + 1, _written(event)),
        )
        self._number += 1
        self._count += 1

    def _bound(self, event: Event) -> None:
        """Keep what waits within its limit. The oldest goes, and the count of what went is told in an event."""
        if self._count <= self._limit:
            return
        drop = self._count - self._limit + max(1, self._limit // 10)
        oldest = self._database.execute(f"SELECT position {PENDING} ORDER BY position LIMIT ?", (0, drop)).fetchall()
        self._database.executemany("DELETE FROM outbox WHERE position = ?", oldest)
        self._count -= len(oldest)
        total = int(self.get(_DROPPED) or 0) + drop
        self.put(_DROPPED, str(total))
        self._insert(
            Event(
                at=event.at,
                severity=Severity.WARNING,
                reason="EventsDropped",
                message=f"{drop} events were dropped: the console was away too long and the outbox was full.",
                # An earlier event of this kind may be among those dropped, so the total is told each time.
                fields={"count": str(drop), "total": str(total)},
            )
        )


def _written(event: Event) -> str:
    text = event.model_dump_json()
    if len(text.encode()) <= MAXIMUM_EVENT_BYTES:
        return text
    # The message alone always fits (see its bound in model.records); fields and finding have no bound of their own.
    return event.model_copy(update={"fields": {"fields-too-large": str(len(text))}, "finding": None}).model_dump_json()


def _not_written(error: sqlite3.Error) -> TryAgain:
    return TryAgain(
        "The gateway's memory cannot be written; nothing is acted on or sent that is not kept.",
        reason="store-not-written",
        evidence=[f"{type(error).__name__}: {error}"],
        remedy=["Make room on the disk of the gateway's --state directory."],
    )


def _unusable(path: Path | str, error: sqlite3.Error) -> SetupMissing:
    return SetupMissing(
        f"The gateway's memory {path} cannot be used.",
        reason="store-unusable",
        evidence=[f"{type(error).__name__}: {error}"],
        remedy=[
            "Check that the disk is not full and that the file is readable and writable for this user.",
            "If the file is damaged, move it away: the machines are found again by their marks.",
        ],
    )
