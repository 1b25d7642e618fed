"""What is kept of the log lines that bear on a scenario: a few of each kind, however many there are.

Kept by the scanner (`log_scan`), looked at by the judge (`log_engine`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pcg.diagnosis.log_lines import LogLine

KEPT = 4
COUNTED = 32
"""more than any signature asks for (`at_least`), and as many beside as are kept"""


@dataclass(frozen=True)
class Hit:
    line: LogLine
    when: datetime | None
    """the line's own time, else that of the last line before it that had one"""
    fields: Mapping[str, str]
    """the pattern's named groups"""

    def before(self, other: Hit) -> bool:
        """Surely earlier. Where nothing tells the order, it is not."""
        mine, others = self.line, other.line
        if mine.file.stream == others.file.stream:
            return (-mine.file.age, mine.number) < (-others.file.age, others.number)
        return self.when is not None and other.when is not None and self.when < other.when


@dataclass
class Tally:
    """The first and the last few of many hits."""

    count: int = 0
    """at most COUNTED"""
    first: list[Hit] = field(default_factory=list)
    last: deque[Hit] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, hit: Hit) -> None:
        self.count = min(self.count + 1, COUNTED)
        if len(self.first) < KEPT:
            self.first.append(hit)
        else:
            self.last.append(hit)

    @property
    def full(self) -> bool:
        """Of further hits only the last few change anything."""
        return self.count == COUNTED

    @property
    def hits(self) -> list[Hit]:
        return [*self.first, *self.last]


def since(hits: Iterable[Hit], now: datetime) -> datetime:
    """The earliest time that is known; else when a file was last changed; else now."""
    hits = list(hits)
    times = [hit.when for hit in hits if hit.when]
    if times:
        return min(times)
    try:
        changed = [datetime.fromtimestamp(hit.line.file.modified, UTC) for hit in hits if hit.line.file.modified > 0]
    except (ValueError, OverflowError, OSError):
        changed = []
    return min(changed, default=now)
