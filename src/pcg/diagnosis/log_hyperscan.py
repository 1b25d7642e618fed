"""The prefilters on Hyperscan, where its package is: one pass over a block for all literals, or all patterns, at once.

Neither leaves out a pattern that `re` would match, so verdicts are the same with and without them
(tests/unit/diagnosis). Chosen by `log_prefilter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import hyperscan

from pcg.diagnosis.log_prefilter import LiteralIndex, literals_of


class HyperscanLiterals:
    """What `LiteralPrefilter` finds."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str] = ()) -> None:
        self._index = LiteralIndex(patterns, literals)
        self._literals = self._index.literals
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=self._literals,
            ids=list(range(len(self._literals))),
            elements=len(self._literals),
            flags=hyperscan.HS_FLAG_CASELESS,
            literal=True,
        )

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[int]]]:
        for start, end, numbers in _by_line(block, self._database):
            literals = (self._literals[number] for number in numbers)
            if patterns := self._index.patterns(literals, block[start:end].lower()):
                yield start, end, patterns


class HyperscanPatterns:
    """Whole patterns; what Hyperscan cannot express it widens. Compiling takes a second."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._other = HyperscanLiterals(patterns)
        expressions = [
            (index, expression) for index, pattern in enumerate(patterns) for expression in _expressions(pattern)
        ]
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=[expression for _, expression in expressions],
            ids=[index for index, _ in expressions],
            elements=len(expressions),
            flags=hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_PREFILTER,
        )

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[int]]]:
        if not block.isascii():
            # A repetition would count bytes here, and counts characters there.
            return self._other.lines(block)
        return _by_line(block, self._database)


def _by_line(block: bytes, database: hyperscan.Database) -> Iterator[tuple[int, int, set[int]]]:
    """Start and end of each line in which something ends that was found, and the numbers of what."""
    ends: list[tuple[int, int]] = []

    def found(number: int, start: int, end: int, flags: int, context: object) -> None:
        ends.append((end, number))

    database.scan(block, match_event_handler=found)
    # Hyperscan tells matches by their ends, and does not promise their order.
    ends.sort()
    start = line_end = -1
    within: set[int] = set()
    for end, number in ends:
        if end - 1 > line_end:  # what ends with the newline is of its line
            if within:
                yield start, line_end, within
            start = block.rfind(b"\n", 0, end - 1) + 1
            line_end = block.find(b"\n", end - 1)
            line_end = len(block) if line_end < 0 else line_end
            within = set()
        within.add(number)
    if within:
        yield start, line_end, within


def _expressions(pattern: str) -> list[bytes]:
    """One for Hyperscan of which every match of the pattern in a line's message is a match in the whole line, or
    several."""
    if _anchored(parser.parse(pattern)):
        # Where a message begins and ends is not seen here, so it is looked for by its literals.
        return [re.escape(first) for first, _ in literals_of(pattern)]
    # Names of groups may not repeat there. Edges of words are left to `re`: Hyperscan 5.4 misses \bfoo in "xfoo foo".
    return [re.sub(r"\(\?P<\w+>", "(?:", pattern).replace(r"\b", "").encode()]


def _anchored(sequence: Any) -> bool:
    """Whether a parsed pattern looks at the beginning or end of what it is searched in."""
    for operation, argument in sequence:
        if operation is constants.AT and argument is not constants.AT_BOUNDARY:
            return True
        inner: list[Any] = []
        if operation is constants.SUBPATTERN:
            inner = [argument[3]]
        elif operation in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            inner = [argument[2]]
        elif operation is constants.BRANCH:
            inner = list(argument[1])
        elif operation in (constants.ASSERT, constants.ASSERT_NOT):
            inner = [argument[1]]
        if any(_anchored(one) for one in inner):
            return True
    return False
