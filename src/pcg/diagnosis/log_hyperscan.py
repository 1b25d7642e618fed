"""The prefilter on Hyperscan, where its package is: one pass over a block for all literals at once, then one over each
line that has some for all patterns at once.

The first finds the very literals that `LiteralPrefilter` finds, the second leaves out no pattern that `re` would match,
so verdicts are the same with and without them (tests/unit/diagnosis). Chosen by `log_prefilter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import hyperscan


class HyperscanPrefilter:
    def __init__(self, literals: Iterable[str]) -> None:
        self._literals = sorted({literal.encode() for literal in literals})
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=self._literals,
            ids=list(range(len(self._literals))),
            elements=len(self._literals),
            flags=hyperscan.HS_FLAG_CASELESS,
            literal=True,
        )

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[bytes]]]:
        ends: list[tuple[int, int]] = []

        def found(number: int, start: int, end: int, flags: int, context: object) -> None:
            ends.append((end, number))

        self._database.scan(block, match_event_handler=found)
        # Hyperscan tells matches by their ends, and does not promise their order.
        ends.sort()
        start = line_end = -1
        within: set[bytes] = set()
        for end, number in ends:
            literal = self._literals[number]
            if end - 1 > line_end:
                if within:
                    yield start, line_end, within
                start = block.rfind(b"\n", 0, end - len(literal)) + 1
                line_end = block.find(b"\n", end - 1)
                line_end = len(block) if line_end < 0 else line_end
                within = set()
            within.add(literal)
        if within:
            yield start, line_end, within


class HyperscanPatterns:
    """`LinePatterns` by one scan of a line. Compiling takes a second: made once there are many lines to look at."""

    def __init__(self, patterns: Sequence[str]) -> None:
        anchored = [_anchored(parser.parse(pattern)) for pattern in patterns]
        self._always = frozenset(index for index, is_so in enumerate(anchored) if is_so)
        """they know where a message begins or ends, and the scan sees the whole line"""
        ids = [index for index in range(len(patterns)) if index not in self._always]
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=[_whole_line(patterns[index]) for index in ids],
            ids=ids,
            elements=len(ids),
            # What Hyperscan cannot express it widens; `re` decides.
            flags=hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_SINGLEMATCH,
        )

    def may_match(self, line: bytes) -> set[int] | None:
        if not line.isascii():
            return None  # a repetition counts bytes here, and characters there
        found: set[int] = set(self._always)

        def matched(number: int, start: int, end: int, flags: int, context: object) -> None:
            found.add(number)

        self._database.scan(line, match_event_handler=matched)
        return found


def _whole_line(pattern: str) -> bytes:
    """The same for Hyperscan: groups without names, which may not repeat there, and words that need not be whole, since
    a message may begin right behind another word of its line."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern).replace(r"\b", "").encode()


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
