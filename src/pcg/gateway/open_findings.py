"""Which findings are open, and the events that tell of each opening and closing once, also across restarts.

Status tells what is found now, and a console that is away misses what came and went meanwhile. Events lose nothing:
each change here is committed with its event in one transaction. A closing is held back a little, because a step's next
try hides its trouble for a moment; what comes again within that time was never closed. What keeps coming and going is
held back longer each time, so that it cannot flood the events. Called by `observation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import Field

from pcg.clock import Clock
from pcg.gateway.store import GatewayStore
from pcg.model.records import FINDING_CLOSED, FINDING_OPENED, Event, Evidence, Finding, Record
from pcg.model.states import Severity

HELD_SECONDS = 10.0
"""from when a finding is gone until its closing is told; twice as long for each time that it had come again"""
MOST_HELD_SECONDS = 640.0
REMEMBERED = timedelta(hours=1)
"""a closed one that comes again within this time counts as coming again"""

FINDING_BYTES = 24 * 1024
"""of a finding within an event, as JSON; the last lines of its evidence are left out where it is larger"""

_KEY = "findings"
_MOST_REMEMBERED = 64


class _Known(Record):
    finding: Finding
    """as it was seen last"""
    returned: int = 0
    """how often it was gone and came again"""
    gone_at: datetime | None = None
    closed: bool = False
    """its closing was told; kept for a while to know it again"""


class _Memory(Record):
    known: list[_Known] = Field(default_factory=list)


class OpenFindings:
    def __init__(self, store: GatewayStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        text = store.get(_KEY)
        known = [] if text is None else _Memory.model_validate_json(text).known
        self._known = {item.finding.key: item for item in known}

    @property
    def findings(self) -> list[Finding]:
        """Open ones, and those whose closing is held back: they keep the time since when they are open."""
        return [item.finding for item in self._known.values() if not item.closed]

    def look(self, present: Sequence[Finding]) -> None:
        """These are found now, and no others. Raises TryAgain when it cannot be written down; then nothing was told."""
        now, known = self._clock.now(), dict(self._known)
        events = [*self._seen(known, present), *self._gone(known, {finding.key for finding in present}, now)]
        _forget(known, now)
        if known == self._known:
            return
        with self._store.transaction():
            self._store.put(_KEY, _Memory(known=list(known.values())).model_dump_json())
            for event in events:
                self._store.append(event)
        self._known = known

    def due(self) -> float | None:
        """Seconds until a closing that is held back is to be told."""
        now = self._clock.now()
        waits = [_closes_at(item) - now for item in self._known.values() if item.gone_at and not item.closed]
        return max(0.0, min(waits).total_seconds()) if waits else None

    def _seen(self, known: dict[tuple[str, str], _Known], present: Sequence[Finding]) -> list[Event]:
        events = []
        for finding in present:
            finding = within(finding, FINDING_BYTES)
            before = known.get(finding.key)
            returned = before.returned + (before.gone_at is not None) if before else 0
            known[finding.key] = _Known(finding=finding, returned=returned)
            if before is None or before.closed:
                events.append(self._event(FINDING_OPENED, finding, finding.severity, finding.summary))
        return events

    def _gone(self, known: dict[tuple[str, str], _Known], present: set[tuple[str, str]], now: datetime) -> list[Event]:
        events = []
        for key, item in list(known.items()):
            if key in present or item.closed:
                continue
            # A clock that was set back must not hold it for ever.
            item = item.model_copy(update={"gone_at": min(item.gone_at or now, now)})
            if now >= _closes_at(item):
                item = item.model_copy(update={"closed": True})
                events.append(self._closing(item))
            known[key] = item
        return events

    def _closing(self, item: _Known) -> Event:
        assert item.gone_at is not None
        finding = item.finding.model_copy(update={"closed": item.gone_at})
        event = self._event(FINDING_CLOSED, finding, Severity.INFO, f"Over: {finding.summary}")
        more = {"closed": item.gone_at.isoformat()} | ({"returned": str(item.returned)} if item.returned else {})
        return event.model_copy(update={"fields": event.fields | more})

    def _event(self, reason: str, finding: Finding, severity: Severity, message: str) -> Event:
        return Event(
            at=self._clock.now(),
            severity=severity,
            reason=reason,
            message=message,
            step=finding.step,
            fields={"scenario": finding.scenario, "cause": finding.cause, "since": finding.since.isoformat()},
            finding=finding,
        )


def within(finding: Finding, limit: int) -> Finding:
    """The finding in at most `limit` bytes of JSON: the last lines of its evidence give way, then its remedy."""
    whole = len(finding.evidence)
    for kept in range(whole, -1, -1):
        lines = finding.evidence[:kept]
        if kept < whole:
            lines = [*lines, Evidence(source="pcg", text=f"{whole - kept} more lines are left out.")]
        cut = finding.model_copy(update={"evidence": lines})
        if len(cut.model_dump_json().encode()) <= limit:
            return cut
    return finding.model_copy(update={"evidence": [], "remedy": []})


def _closes_at(item: _Known) -> datetime:
    assert item.gone_at is not None
    held = min(HELD_SECONDS * 2 ** min(item.returned, 16), MOST_HELD_SECONDS)
    return item.gone_at + timedelta(seconds=held)


def _forget(known: dict[tuple[str, str], _Known], now: datetime) -> None:
    closed = [key for key, item in known.items() if item.closed]
    for key in closed:
        gone_at = known[key].gone_at
        if gone_at is None or abs(now - gone_at) > REMEMBERED or len(known) > _MOST_REMEMBERED:
            del known[key]
