"""The prefilters on Hyperscan, where its package is: one pass over a block for all that is looked for at once.

Neither leaves out a pattern that `re` would match, so verdicts are the same with and without them
(tests/unit/diagnosis). Used by `log_prefilter` and by the process that searches (`log_worker`).
"""

from __future__ import annotations

import json
import operator
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from heapq import merge
from typing import Self, cast

import hyperscan

from pcg.diagnosis.log_expressions import expressions
from pcg.diagnosis.log_hits import Hits
from pcg.diagnosis.log_prefilter import LiteralIndex, lines


class HyperscanLiterals:
    """What `LiteralPrefilter` finds."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str] = ()) -> None:
        self._index = LiteralIndex(patterns, literals)
        self._literals = self._index.literals
        self._database = Database(self._literals, literal=True)

    def hits(self, block: bytes) -> list[tuple[int, int]]:
        found = list[tuple[int, int]]()
        for start, end, numbers in lines(block, self._database.ends(block)):
            literals = (self._literals[number] for number in numbers)
            found += [(start, index) for index in self._index.patterns(literals, block[start:end].lower())]
        return found


class HyperscanPatterns:
    """With what tells most of each pattern, which leaves `re` less to look at. Compiling takes some tenths of a
    second."""

    def __init__(self, patterns: Sequence[Sequence[int]], database: Database) -> None:
        self._patterns = patterns
        """those of each expression"""
        self._database = database

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        uses: dict[bytes, list[int]] = {}
        for index, pattern in enumerate(patterns):
            for expression in expressions(pattern):
                uses.setdefault(expression, []).append(index)
        return cls(list(uses.values()), Database(list(uses), literal=False))

    @classmethod
    def from_bytes(cls, told: bytes) -> Self:
        """As another process of this machine compiled it."""
        patterns, _, database = told.partition(b"\n")
        return cls(json.loads(patterns), Database.from_bytes(database))

    def to_bytes(self) -> bytes:
        return json.dumps(self._patterns).encode() + b"\n" + self._database.to_bytes()

    def search(self, block: bytes | memoryview) -> Hits:
        """As of a `Prefilter`."""
        places: dict[int, array[int]] = {}
        for number, those in self._database.places(block).items():
            for index in self._patterns[number]:
                places[index] = array("I", merge(places[index], those)) if index in places else those
        return Hits(places)


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
        self._scratch = hyperscan.Scratch(self._database)

    @classmethod
    def from_bytes(cls, told: bytes) -> Self:
        made = cls.__new__(cls)
        made._database = hyperscan.loadb(told, hyperscan.HS_MODE_BLOCK)
        made._scratch = hyperscan.Scratch(made._database)
        return made

    def to_bytes(self) -> bytes:
        return hyperscan.dumpb(self._database)

    def places(self, block: bytes | memoryview) -> dict[int, array[int]]:
        """The last place of each match, in order, by the number of what matches there."""
        found: defaultdict[int, array[int]] = defaultdict(partial(array, "I"))

        def keep(number: int, start: int, end: int, flags: int, context: object) -> None:
            found[number].append(end - 1)

        # Which takes any buffer.
        self._database.scan(cast(bytes, block), match_event_handler=keep, scratch=self._scratch)
        return {number: _in_order(those) for number, those in found.items()}

    def ends(self, block: bytes) -> list[tuple[int, int]]:
        """The last place of each match, and the number of what matches there, in order."""
        return sorted((place, number) for number, those in self.places(block).items() for place in those)


def _in_order(places: array[int]) -> array[int]:
    """Hyperscan does not promise their order. There may be millions, too many for a list."""
    if all(map(operator.le, places, places[1:])):
        return places
    return array("I", sorted(places))
