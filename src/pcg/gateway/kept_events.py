"""Which events of the outbox the console has acknowledged, and how long they are kept for a console that forgets.

A console that was restored from an older backup has lost what it acknowledged since. So an acknowledgement only raises
the mark of its writer; what lies below it is kept for a while, and is sent again when a welcome lowers the mark.
`store.py` calls this within its transactions.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from pcg.model.records import Event
from pcg.model.states import Severity

KEPT_EVENTS = 20_000
"""acknowledged ones; the oldest go first"""

KEPT_BYTES = 16 * 1024 * 1024
"""of the same, as JSON"""

KEPT_FOR = timedelta(days=30)
"""by the events' own times"""

_LOOKED_AT = timedelta(days=1)
_PARTS = 20
"""what is too much goes in batches of this part of the limit, with an event that is appended anyway"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS acknowledged (writer TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""

PENDING = (
    "FROM outbox LEFT JOIN acknowledged USING (writer)"
    " WHERE outbox.number > ifnull(acknowledged.number, 0) AND position > ?"
)
# CROSS: the outbox is read in its own order, and only as far as is asked.
_KEPT = "FROM outbox CROSS JOIN acknowledged USING (writer) WHERE outbox.number <= acknowledged.number"
_SIZE = "coalesce(sum(length(CAST(event AS BLOB))), 0)"


@dataclass(frozen=True)
class Moved:
    """What a changed mark did: how many events wait no more (or, below 0, wait again), and how many that the console
    does not have are not here any more."""

    done: int = 0
    missing: int = 0


class KeptEvents:
    def __init__(self, database: sqlite3.Connection, limit: int = KEPT_EVENTS, limit_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._limit = limit
        self._limit_bytes = limit_bytes
        # Counted once, as in the store.
        self._count, self._bytes = database.execute(f"SELECT count(*), {_SIZE} {_KEPT}").fetchone()
        self._looked: datetime | None = None

    @property
    def state(self) -> tuple[int, int, datetime | None]:
        """What is in memory alone, to be put back when a transaction is rolled back."""
        return self._count, self._bytes, self._looked

    @state.setter
    def state(self, state: tuple[int, int, datetime | None]) -> None:
        self._count, self._bytes, self._looked = state

    def mark(self, writer: str, number: int, *, lower: bool) -> Moved:
        """The console has this writer's events up to and with `number`; `lower`: and none above it."""
        (top,) = self._database.execute("SELECT max(number) FROM outbox WHERE writer = ?", (writer,)).fetchone()
        if top is None:
            return Moved()
        # Not above what there is: else what this writer writes next would count as acknowledged.
        number = min(number, top)
        row = self._database.execute("SELECT number FROM acknowledged WHERE writer = ?", (writer,)).fetchone()
        known = row[0] if row else 0
        if number == known or (number < known and not lower):
            return Moved()
        self._database.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?)", (writer, number))
        count, size = self._database.execute(
            f"SELECT count(*), {_SIZE} FROM outbox WHERE writer = ? AND number > ? AND number <= ?",  # noqa: S608 - ours
            (writer, min(number, known), max(number, known)),
        ).fetchone()
        if number > known:
            self._count, self._bytes = self._count + count, self._bytes + size
            return Moved(done=count)
        self._count, self._bytes = self._count - count, self._bytes - size
        return Moved(done=-count, missing=known - number - count)

    def writers(self, limit: int) -> list[str]:
        """Of whom anything is here, the latest first."""
        rows = self._database.execute(
            "SELECT writer FROM outbox GROUP BY writer ORDER BY max(position) DESC LIMIT ?", (limit,)
        )
        return [row[0] for row in rows]

    def trim(self, now: datetime) -> None:
        """At most one batch a call: what is too much, and once a day what is too old."""
        now, batch = _with_zone(now), max(1, self._limit // _PARTS)
        due = self._looked is None or abs(now - self._looked) >= _LOOKED_AT
        if not due and self._count < self._limit + batch and self._bytes <= self._limit_bytes:
            return
        rows = self._database.execute(f"SELECT position, event {_KEPT} ORDER BY position LIMIT ?", (batch,)).fetchall()
        gone = []
        for position, text in rows:
            too_much = self._count > self._limit or self._bytes > self._limit_bytes
            if not too_much and not (due and now - _with_zone(read_event(text).at) > KEPT_FOR):
                break
            gone.append((position,))
            self._count, self._bytes = self._count - 1, self._bytes - len(text.encode())
        if due and len(gone) < batch:
            self._looked = now
        if gone:
            self._database.executemany("DELETE FROM outbox WHERE position = ?", gone)
            self._database.execute("DELETE FROM acknowledged WHERE writer NOT IN (SELECT writer FROM outbox)")

    def forget(self) -> None:
        """With the outbox, everything."""
        self._database.execute("DELETE FROM acknowledged")
        self._count = self._bytes = 0


def read_event(text: str) -> Event:
    """A row that this version cannot read (written by a newer one) is told as such: it must not stop the others."""
    try:
        return Event.model_validate_json(text)
    except ValidationError as error:
        at = datetime.fromtimestamp(0, UTC)
        message = f"An event in the outbox cannot be read by this version: {error.error_count()} errors."
        return Event(at=at, severity=Severity.WARNING, reason="EventUnreadable", message=message)


def _with_zone(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
