"""Goes through blocks of log lines and keeps the few that bear on a scenario. `pcg.bundle.reading` feeds it; the judge
(`log_engine`) takes what it kept. What is kept is bounded, however long the logs are.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self

from pcg.diagnosis.log_files import LogFile
from pcg.diagnosis.log_hits import Hits, Loud
from pcg.diagnosis.log_lines import LogLine, parse_line
from pcg.diagnosis.log_matching import LineMatcher, Matches, Role
from pcg.diagnosis.log_prefilter import Prefilter, TooMany, quick_prefilter, thorough_prefilter
from pcg.diagnosis.log_rules import LogRules
from pcg.diagnosis.log_tallies import KEPT, Hit, Tally

_MOST_KEYS = 20_000
_MOST_FIELD = 256
_MUCH = 3 << 20
"""bytes, after which it may pay to make the thorough prefilter"""
_LONG = 128 << 20
"""bytes, after which it may pay to leave loud patterns out"""
_LOUD = 1000
"""times that one is found in a block"""
_BACK = 4096
"""bytes of a block that are looked through for the time of a line that has none"""
_PIECE = 1 << 16
"""of a block whose lines are counted once"""
_SMALL = 1 << 17
"""of a block that may be full of hits"""
_MOST_HITS = 10_000
"""of a larger one"""
_THREADS = 2
"""that search ahead, while blocks are read, unpacked and judged"""
_AHEAD = 4
"""blocks"""


@dataclass(frozen=True)
class _Block:
    file: LogFile
    first_line: int
    data: bytes
    newlines: list[int]
    """in each _PIECE of the data"""
    hits: Callable[[], Hits]
    """of the prefilter, which may be at it still"""

    def number(self, start: int) -> int:
        """Of the line that begins there."""
        piece = start // _PIECE
        return self.first_line + sum(self.newlines[:piece]) + self.data.count(b"\n", piece * _PIECE, start)


@dataclass(frozen=True)
class _Found:
    """A line, and the uses that it is for."""

    line: LogLine
    start: int
    end: int
    matches: Matches


class LogScanner:
    """`begin` a file, `feed` its blocks in order, `finish`, within `with`; then look at `tallies`. `check` raises what
    ends it early: a block that is full of hits takes its time."""

    def __init__(self, rules: Mapping[str, LogRules], now: datetime, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self.tallies: dict[tuple[Role, int, str, str], Tally] = {}
        """by role, signature, stream and target"""
        self.files: list[LogFile] = []
        self.lines = 0
        self._now = now
        self._matcher = LineMatcher(rules)
        self.uses = self._matcher.uses
        self._quick = quick_prefilter(self._matcher.patterns)
        self._thorough: Future[Prefilter | None] | None = None
        """in the making at first"""
        self._loud: Future[Loud | None] | None = None
        """found once, where there is much to read"""
        self._threads = ThreadPoolExecutor(_THREADS, "logs")
        self._waiting = deque[_Block]()
        self._bytes = 0
        self._fed: LogFile | None = None
        self._next_line = 1
        self._file: LogFile | None = None
        self._last_time: datetime | None = None
        self._full: dict[str, set[int]] = {}
        """of each stream: uses of which only the last hits matter yet"""

    def begin(self, file: LogFile) -> None:
        self._fed, self._next_line = file, 1
        self.files.append(file)

    def feed(self, data: bytes) -> None:
        """`data` is whole lines, those that come next in the file."""
        assert self._fed is not None
        self._bytes += len(data)
        if self._bytes >= _MUCH and self._thorough is None:
            self._thorough = self._threads.submit(thorough_prefilter, self._matcher.patterns)
        large = self._thorough is not None
        for piece in [data] if large else _pieces(data):
            work = self._threads.submit(self._search, piece, _MOST_HITS, self._loud_in(self._fed)) if large else None
            hits = work.result if work else partial(self._search_quickly, piece)
            block = _block(self._fed, self._next_line, piece, hits)
            self._waiting.append(block)
            self._next_line += sum(block.newlines)
            self.lines += sum(block.newlines)
        self.lines += not data.endswith(b"\n")
        while len(self._waiting) > _AHEAD:
            self._check()
            self._judge(self._waiting.popleft())

    def finish(self) -> None:
        while self._waiting:
            self._judge(self._waiting.popleft())
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """However it ended: no thread is left, and what none has begun is not done."""
        self._threads.shutdown(cancel_futures=True)

    def _search_quickly(self, data: bytes) -> Hits:
        return Hits(data, self._quick.hits(data))

    def _search(self, data: bytes, most: int | None = None, loud: Loud | None = None) -> Hits:
        """In a thread: it waits for the prefilter that another one makes."""
        assert self._thorough is not None
        if loud is not None:
            return loud.hits(data, most)
        return Hits(data, (self._thorough.result() or self._quick).hits(data, most))

    def _loud_in(self, file: LogFile) -> Loud | None:
        """The loud patterns, if all of them have had their fill in this file's stream."""
        if self._loud is None or not self._loud.done() or (loud := self._loud.result()) is None:
            return None
        full = self._full.get(file.stream, set())
        return loud if all(full.issuperset(self._matcher.uses_of[index]) for index in loud.patterns) else None

    def _listen(self, hits: Hits, filled: set[int]) -> None:
        """What leaves out the loud patterns takes some tenths of a second to make."""
        told = Counter(index for _, index in hits.places)
        patterns = frozenset(index for index in filled if told[index] >= _LOUD)
        if patterns:
            self._loud = self._threads.submit(_loud, self._matcher.patterns, patterns)

    def _judge(self, block: _Block) -> None:
        """Of a use that had its fill, only as many of the last lines are looked at as are kept: much that is alike
        costs little. It is as if all were looked at, since each count ends at COUNTED."""
        if self._file is not block.file:
            self._file, self._last_time = block.file, None
            self._matcher.begin(block.file)
        try:
            hits = block.hits()
            found = self._gather(block, hits)
        except TooMany:
            for piece in _in_pieces(block, self._search):
                self._check()
                self._judge(piece)
            return
        known = 0
        for one, kept, time in reversed(found):
            if time is None:
                # The time of the line before that matched: what was passed over counts too.
                between = hits.between(known, one.start)
                times = (self._time_of(earlier, block) for earlier in self._look_back(block, between))
                time = next((time for time in times if time), None)
            self._last_time, known = time or self._last_time, one.end + 1
            for use, match in kept:
                self._keep(use, Hit(one.line, self._last_time, _fields(one.line, match)))

    def _gather(self, block: _Block, hits: Hits) -> list[tuple[_Found, Matches, datetime | None]]:
        """The lines that match, from the last, with what is to be kept of their matches. Raises TooMany."""
        uses_of = self._matcher.uses_of
        full = frozenset(self._full.setdefault(block.file.stream, set()))
        filled = {pattern for pattern in hits.patterns if full.issuperset(uses_of[pattern])}
        if self._bytes >= _LONG and self._loud is None:
            self._listen(hits, filled)
        passed = set[int]()
        seen = Counter[int]()
        found = list[tuple[_Found, Matches, datetime | None]]()
        for one in self._look_back(block, hits, passed):
            kept = [match for match in one.matches if seen[match[0]] < KEPT or match[0] not in full]
            found.append((one, kept, self._time_of(one, block)))
            seen.update(use for use, _ in kept)
            if kept:
                passed.update(pattern for pattern in filled if all(seen[use] >= KEPT for use in uses_of[pattern]))
        if any(time is None for _, _, time in found):
            hits.complete()
        return found

    def _look_back(self, block: _Block, hits: Hits, passed: Container[int] = ()) -> Iterator[_Found]:
        """The lines that match, from the last."""
        data, number, at = block.data, 0, len(block.data) + _PIECE + 1
        for start, end, patterns in hits.lines_back(passed):
            if uses := self._matcher.speaking(data[start:end], patterns):
                if at - start > _PIECE:
                    number, at = block.number(start), start
                number, at = number - data.count(b"\n", start, at), start
                line = parse_line(data[start:end], number, block.file, self._now)
                if matches := self._matcher.matches(line, uses):
                    yield _Found(line, start, end, matches)

    def _time_of(self, found: _Found, block: _Block) -> datetime | None:
        """Its own, or that of the line before it that has one."""
        if (time := found.line.time) is not None:
            return time
        for earlier in reversed(block.data[max(0, found.start - _BACK) : found.start].splitlines()):
            if (time := parse_line(earlier, 0, block.file, self._now).time) is not None:
                return time
        return None

    def _keep(self, index: int, hit: Hit) -> None:
        use = self.uses[index]
        target = hit.fields.get("target", "") if len(self.tallies) < _MOST_KEYS else ""
        key = (use.role, use.number, hit.line.file.stream, target)
        if key not in self.tallies and len(self.tallies) >= 2 * _MOST_KEYS:
            return
        tally = self.tallies.setdefault(key, Tally())
        tally.add(hit)
        if tally.full and "target" not in use.signature.search.compiled.groupindex:
            self._full[hit.line.file.stream].add(index)


def _fields(line: LogLine, match: re.Match[str]) -> dict[str, str]:
    """What the named groups captured, as the line has it."""
    captured = {name: line.message[slice(*match.span(name))] for name in match.re.groupindex}
    return {name: text[:_MOST_FIELD] for name, text in captured.items() if text}


def _block(file: LogFile, first_line: int, data: bytes, hits: Callable[[], Hits]) -> _Block:
    newlines = [data.count(b"\n", at, at + _PIECE) for at in range(0, len(data), _PIECE)]
    return _Block(file, first_line, data, newlines, hits)


def _loud(patterns: tuple[str, ...], loud: frozenset[int]) -> Loud | None:
    others = thorough_prefilter(patterns, loud)
    alone = thorough_prefilter(patterns, frozenset(range(len(patterns))) - loud)
    return Loud(loud, others, alone) if others and alone else None


def _in_pieces(block: _Block, search: Callable[[bytes], Hits]) -> Iterator[_Block]:
    number = block.first_line
    for data in _pieces(block.data):
        piece = _block(block.file, number, data, partial(search, data))
        number += sum(piece.newlines)
        yield piece


def _pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines, less than _SMALL of them at once."""
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + _SMALL) + 1 or data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end
