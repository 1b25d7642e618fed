"""Goes through blocks of log lines and keeps the few that bear on a scenario. `pcg.bundle.reading` feeds it; the judge
(`log_engine`) takes what it kept. What is kept is bounded, however long the logs are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pcg.diagnosis.log_context import MILESTONES
from pcg.diagnosis.log_files import LogFile
from pcg.diagnosis.log_lines import LogLine, parse_line
from pcg.diagnosis.log_prefilter import quick_prefilter, thorough_prefilter
from pcg.diagnosis.log_rules import LogRules, Signature, Where, anywhere

_KEEP = 4
_MOST_KEYS = 20_000
_MOST_FIELD = 256
_MUCH = 2 << 20
"""bytes, after which it pays to make the thorough prefilter"""
_BACK = 4096
"""bytes of a block that are looked through for the time of a line that has none"""

Role = tuple[str, str, str]
"""what a hit speaks for: (scenario, cause, sign | cure), (scenario, "", open) or ("", milestone, milestone)"""


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
    first: list[Hit] = field(default_factory=list)
    last: deque[Hit] = field(default_factory=lambda: deque(maxlen=_KEEP))

    def add(self, hit: Hit) -> None:
        self.count += 1
        if len(self.first) < _KEEP:
            self.first.append(hit)
        else:
            self.last.append(hit)

    @property
    def hits(self) -> list[Hit]:
        return [*self.first, *self.last]


@dataclass(frozen=True)
class _Use:
    role: Role
    signature: Signature
    number: int
    """of the signature within its role"""
    speakers: Where = anywhere


class LogScanner:
    """`begin` a file, `feed` its blocks in order; then look at `tallies`."""

    def __init__(self, rules: Mapping[str, LogRules], now: datetime) -> None:
        self.tallies: dict[tuple[Role, int, str, str], Tally] = {}
        """by role, signature, stream and target"""
        self.files: list[LogFile] = []
        self.lines = 0
        self._now = now
        self.uses = list(_uses(rules))
        """every signature, with what its hits speak for"""
        self._by_pattern: dict[str, list[int]] = {}
        for index, use in enumerate(self.uses):
            self._by_pattern.setdefault(use.signature.pattern, []).append(index)
        self._of = list(self._by_pattern.values())
        """the uses of each of the prefilter's patterns"""
        self._prefilter = quick_prefilter(tuple(self._by_pattern))
        self._bytes = 0
        self._file: LogFile | None = None
        self._last_time: datetime | None = None

    def begin(self, file: LogFile) -> None:
        self._file = file
        self._last_time = None
        self.files.append(file)

    def feed(self, first_line: int, data: bytes) -> None:
        """`data` is whole lines, the first of which has the number `first_line`."""
        assert self._file is not None
        if self._bytes < _MUCH <= self._bytes + len(data):
            self._prefilter = thorough_prefilter(tuple(self._by_pattern)) or self._prefilter
        self._bytes += len(data)
        counted, number = 0, first_line
        for start, end, patterns in self._prefilter.lines(data):
            indexes = self._speaking(data[start:end].lower(), patterns)
            if indexes:
                number += data.count(b"\n", counted, start)
                counted = start
                self._look(data, start, end, number, indexes)
        self.lines += data.count(b"\n") + (not data.endswith(b"\n"))

    def _speaking(self, low: bytes, patterns: set[int]) -> list[int]:
        """The uses that the line may be for, in order: those whose word it, or its file's name, mentions."""
        assert self._file is not None
        return sorted(
            index
            for pattern in patterns
            for index in self._of[pattern]
            if not (word := self.uses[index].signature.mentions)
            or word.encode() in low
            or word in self._file.name.lower()
        )

    def _look(self, data: bytes, start: int, end: int, number: int, indexes: list[int]) -> None:
        assert self._file is not None
        line = parse_line(data[start:end], number, self._file, self._now)
        when: datetime | None = None
        claimed = set[str]()
        answers: dict[int, re.Match[str] | None] = {}  # several causes are cured by the same signature
        for index in indexes:
            use = self.uses[index]
            scenario, _, what = use.role
            if what == "sign" and scenario in claimed:
                continue  # the scenario's earlier cause explains the line
            if id(use.signature) not in answers:
                answers[id(use.signature)] = use.signature.matches(line)
            if (found := answers[id(use.signature)]) is None or not use.speakers(line):
                continue
            if what == "sign":
                claimed.add(scenario)
            when = when or self._time_of(line, data, start)
            fields = {name: text[:_MOST_FIELD] for name, text in found.groupdict().items() if text}
            self._keep(use, Hit(line, when, fields))

    def _time_of(self, line: LogLine, data: bytes, start: int) -> datetime | None:
        """Its own, or that of the line before it that has one. Only of lines that match, so that it does not depend on
        which others the prefilter happened to let through."""
        assert self._file is not None
        time = line.time
        before = data[max(0, start - _BACK) : start].splitlines() if time is None else []
        for earlier in reversed(before):
            if (time := parse_line(earlier, 0, self._file, self._now).time) is not None:
                break
        self._last_time = time or self._last_time
        return self._last_time

    def _keep(self, use: _Use, hit: Hit) -> None:
        target = hit.fields.get("target", "") if len(self.tallies) < _MOST_KEYS else ""
        key = (use.role, use.number, hit.line.file.stream, target)
        if key not in self.tallies and len(self.tallies) >= 2 * _MOST_KEYS:
            return
        self.tallies.setdefault(key, Tally()).add(hit)


def _uses(rules: Mapping[str, LogRules]) -> Iterator[_Use]:
    """In order of precedence within each scenario."""
    for scenario, rule in rules.items():
        for cause in rule.causes:
            yield from _of((scenario, cause.name, "sign"), cause.signs, rule.speakers)
            yield from _of((scenario, cause.name, "cure"), cause.cured_by)
        if rule.open_end:
            yield from _of((scenario, "", "open"), (rule.open_end,))
    for name, signatures in MILESTONES.items():
        yield from _of(("", name, "milestone"), signatures)


def _of(role: Role, signatures: Iterable[Signature], speakers: Where = anywhere) -> Iterator[_Use]:
    for number, signature in enumerate(signatures):
        yield _Use(role, signature, number, speakers)


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
