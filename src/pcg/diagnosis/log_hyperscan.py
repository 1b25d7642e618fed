"""The prefilters on Hyperscan, where its package is: one pass over a block for all that is looked for at once.

Neither leaves out a pattern that `re` would match, so verdicts are the same with and without them
(tests/unit/diagnosis). Chosen by `log_prefilter`. A scan lets other threads run, but where it finds something.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence

import hyperscan

from pcg.diagnosis.log_expressions import expressions
from pcg.diagnosis.log_prefilter import LiteralIndex, TooMany, lines


class HyperscanLiterals:
    """What `LiteralPrefilter` finds."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str] = ()) -> None:
        self._index = LiteralIndex(patterns, literals)
        self._literals = self._index.literals
        self._database = Database(self._literals, literal=True)

    def hits(self, block: bytes, most: int | None = None) -> list[tuple[int, int]]:
        found = list[tuple[int, int]]()
        for start, end, numbers in lines(block, self._database.ends(block, most)):
            literals = (self._literals[number] for number in numbers)
            found += [(start, index) for index in self._index.patterns(literals, block[start:end].lower())]
        return found


class HyperscanPatterns:
    """With what tells most of each pattern, which leaves `re` less to look at. Compiling takes some tenths of a
    second."""

    def __init__(self, patterns: Sequence[str], without: Container[int] = ()) -> None:
        uses: dict[bytes, list[int]] = {}
        for index, pattern in enumerate(patterns):
            for expression in expressions(pattern) if index not in without else ():
                uses.setdefault(expression, []).append(index)
        self._patterns = list(uses.values())
        """those of each expression"""
        self._database = Database(list(uses), literal=False)

    def hits(self, block: bytes, most: int | None = None) -> list[tuple[int, int]]:
        return [
            (place, index) for place, number in self._database.ends(block, most) for index in self._patterns[number]
        ]


class Database:
    def __init__(self, expressions: list[bytes], *, literal: bool) -> None:
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=expressions,
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=hyperscan.HS_FLAG_CASELESS,
            literal=literal,
        )
        self._of_thread = threading.local()

    def ends(self, block: bytes, most: int | None = None) -> list[tuple[int, int]]:
        """The last place of each match, and the number of what matches there, in order. Raises TooMany."""
        found = list[tuple[int, int]]()

        # While it runs no other thread does, so it is short.
        def keep(number: int, start: int, end: int, flags: int, context: object) -> bool | None:
            found.append((end - 1, number))
            return len(found) > most if most else None

        # What a scan works in serves one at a time.
        if (scratch := getattr(self._of_thread, "scratch", None)) is None:
            scratch = self._of_thread.scratch = hyperscan.Scratch(self._database)
        try:
            self._database.scan(block, match_event_handler=keep, scratch=scratch)
        except hyperscan.ScanTerminated:
            raise TooMany from None
        # Hyperscan does not promise their order.
        found.sort()
        return found
