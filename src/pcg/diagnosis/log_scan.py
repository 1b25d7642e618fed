"""Goes through blocks of log lines and keeps the few that bear on a scenario. `pcg.bundle.reading` feeds it; the judge
(`log_engine`) takes what it kept. What is kept is bounded, however long the logs are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pcg.diagnosis.log_blocks import Block, piece_at
from pcg.diagnosis.log_files import LogFile
from pcg.diagnosis.log_hits import Hits
from pcg.diagnosis.log_lines import LogLine, parse_line
from pcg.diagnosis.log_matching import LineMatcher, Matches, Role
from pcg.diagnosis.log_prefilter import quick_prefilter
from pcg.diagnosis.log_rules import LogRules
from pcg.diagnosis.log_searches import SearchProcess
from pcg.diagnosis.log_tallies import KEPT, Hit, Tally

_MOST_KEYS = 20_000
_MOST_FIELD = 256
_MUCH = 8 << 20
"""bytes, after which it may pay to have another process search"""
_BACK = 4096
"""bytes of a block that are looked through for the time of a line that has none"""
_FAR = 1 << 16
"""bytes between two lines, where the second's number is not counted from the first"""
_SMALL = 1 << 17
"""of a block that may be full of hits"""
_MOST_HITS = 10_000
"""of a larger one"""


@dataclass(frozen=True)
class _Found:
    """A line, and the uses that it is for."""

    line: LogLine
    start: int
    end: int
    matches: Matches


class _Wanted:
    """What is to be kept of the lines of one block, which is looked through from its end. `full` had their fill before:
    uses, and the targets that they are about."""

    def __init__(self, matcher: LineMatcher, patterns: set[int], full: frozenset[tuple[int, str]]) -> None:
        self._matcher = matcher
        self._patterns = patterns
        self._full = full
        self._seen = Counter[tuple[int, str]]()
        self._done = set[int]()
        """uses whose further lines change nothing; never such as may be about another target"""
        self._left: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.passed = set[int]()
        """patterns of which all uses are done"""

    def left(self, uses: tuple[int, ...]) -> tuple[int, ...]:
        """Those that are not done, and the others of their scenarios: an earlier cause may explain the line."""
        if (left := self._left.get(uses)) is None:
            those = self._matcher.uses
            scenarios = {those[use].role[0] for use in uses if use not in self._done}
            left = self._left[uses] = tuple(use for use in uses if those[use].role[0] in scenarios)
        return left

    def keep(self, found: _Found) -> Matches:
        kept = []
        for use, match in found.matches:
            about = use, _target(found.line, match) if use in self._matcher.targeted else ""
            if self._seen[about] < KEPT or about not in self._full:
                kept.append((use, match))
                self._seen[about] += 1
                if self._seen[about] == KEPT and about in self._full and use not in self._matcher.targeted:
                    self._pass(use)
        return kept

    def _pass(self, use: int) -> None:
        self._done.add(use)
        self._left.clear()
        uses_of = self._matcher.uses_of
        self.passed.update(pattern for pattern in self._patterns if self._done.issuperset(uses_of[pattern]))


class LogScanner:
    """`begin` a file, `feed` its blocks in order, `finish`, within `with`; then look at `tallies`. `check` raises what
    ends it early: a block that is full of hits takes its time."""

    def __init__(
        self,
        rules: Mapping[str, LogRules],
        now: datetime,
        check: Callable[[], None] = lambda: None,
        expected: int = 0,
    ) -> None:
        """`expected` is how many bytes will be fed, as far as it is known."""
        self._check = check
        self.tallies: dict[tuple[Role, int, str, str], Tally] = {}
        """by role, signature, stream and target"""
        self.files: list[LogFile] = []
        self.lines = 0
        self._now = now
        self._matcher = LineMatcher(rules)
        self.uses = self._matcher.uses
        self._process: SearchProcess | None = None
        self._bytes = 0
        """until it may pay to have another process search"""
        self._have_searched(expected)
        self._quick = quick_prefilter(self._matcher.patterns)
        self._fed: LogFile | None = None
        self._next_line = 1
        self._file: LogFile | None = None
        self._last_time: datetime | None = None
        self._full: dict[str, set[tuple[int, str]]] = {}
        """of each stream: uses, and the target that they are about, of which only the last hits matter yet"""

    def begin(self, file: LogFile) -> None:
        self._fed, self._next_line = file, 1
        self.files.append(file)

    def feed(self, *parts: bytes | memoryview) -> None:
        """Whole lines, those that come next in the file: what one part begins another may end."""
        assert self._fed is not None
        self._have_searched(sum(map(len, parts)))
        ended = not parts or bytes(parts[-1][-1:]) == b"\n"
        if self._process is None or not self._process.ready:
            # What is left when it is ready is the first that it has to do.
            parts = (self._search(b"".join(parts)),)
        if self._process is not None and any(parts):
            self._count(self._process.search(self._fed, self._next_line, parts))
            while self._process.due:
                self._judge_first(self._process)
        self.lines += not ended

    def _search(self, data: bytes) -> bytes:
        """Until another process is ready to, which has the rest."""
        assert self._fed is not None
        at = 0
        while at < len(data) and not (self._process is not None and self._process.ready):
            self._check()
            block = Block.of(self._fed, self._next_line, piece_at(data, at, _SMALL))
            self._count(block)
            self._judge(block, Hits.of(self._quick.hits(block.text(0, block.size))))
            at += block.size
        return data[at:]

    def _count(self, block: Block) -> None:
        self._next_line += block.lines
        self.lines += block.lines

    def _have_searched(self, size: int) -> None:
        """By another process, once there is enough that it may pay."""
        if self._bytes < _MUCH:
            self._bytes += size
            if self._bytes >= _MUCH:
                self._process = SearchProcess.start(self._matcher.patterns, self._check)

    def finish(self) -> None:
        while self._process is not None and self._process.waiting:
            self._judge_first(self._process)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """However it ended: no process is left."""
        self._close()

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _judge_first(self, process: SearchProcess) -> None:
        self._check()
        block, hits = process.found()
        if len(hits) <= _MOST_HITS:
            self._judge(block, hits)
        else:
            for at, piece in block.pieces(_SMALL):
                self._check()
                self._judge(piece, hits.between(at, at + piece.size).moved(-at))
        process.release(block)

    def _judge(self, block: Block, hits: Hits) -> None:
        """Of a use that had its fill, only as many of the last lines are looked at as are kept: much that is alike
        costs little. It is as if all were looked at, since each count ends at COUNTED."""
        if self._file is not block.file:
            self._file, self._last_time = block.file, None
            self._matcher.begin(block.file)
        known = 0
        for one, kept, time in reversed(self._gather(block, hits)):
            if time is None:
                # The time of the line before that matched: what was passed over counts too.
                between = hits.between(known, one.start)
                times = (self._time_of(earlier, block) for earlier in self._look_back(block, between))
                time = next((time for time in times if time), None)
            self._last_time, known = time or self._last_time, one.end + 1
            for use, match in kept:
                self._keep(use, Hit(one.line, self._last_time, _fields(one.line, match)))

    def _gather(self, block: Block, hits: Hits) -> list[tuple[_Found, Matches, datetime | None]]:
        """The lines of which something is to be kept, from the last, and what. The last that matches is one of them."""
        wanted = _Wanted(self._matcher, hits.patterns, frozenset(self._full.setdefault(block.file.stream, set())))
        looked = ((one, wanted.keep(one)) for one in self._look_back(block, hits, wanted))
        return [(one, kept, self._time_of(one, block)) for one, kept in looked if kept]

    def _look_back(self, block: Block, hits: Hits, wanted: _Wanted | None = None) -> Iterator[_Found]:
        """The lines that match, from the last; all, or those that are wanted."""
        number, at = 0, block.size + _FAR + 1
        for start, end, patterns in hits.lines_back(block.line_at, wanted.passed if wanted else ()):
            raw = block.text(start, end)
            uses = self._matcher.speaking(raw, patterns)
            if wanted is not None:
                uses = wanted.left(uses)
            if uses:
                number = block.number(start) if at - start > _FAR else number - block.between(start, at)
                at = start
                line = parse_line(raw, number, block.file, self._now)
                if matches := self._matcher.matches(line, uses):
                    yield _Found(line, start, end, matches)

    def _time_of(self, found: _Found, block: Block) -> datetime | None:
        """Its own, or that of the line before it that has one."""
        if (time := found.line.time) is not None:
            return time
        for earlier in reversed(block.text(max(0, found.start - _BACK), found.start).splitlines()):
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
        if tally.full:
            self._full[hit.line.file.stream].add((index, target))


def _fields(line: LogLine, match: re.Match[str]) -> dict[str, str]:
    """What the named groups captured, as the line has it."""
    captured = {name: line.message[slice(*match.span(name))] for name in match.re.groupindex}
    return {name: text[:_MOST_FIELD] for name, text in captured.items() if text}


def _target(line: LogLine, match: re.Match[str]) -> str:
    return _fields(line, match).get("target", "")
