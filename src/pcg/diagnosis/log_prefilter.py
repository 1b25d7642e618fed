"""Which lines of a block may match which patterns: the fast half of the scanner, which `re` then confirms.

`Prefilter` is the whole interface: another engine may take its place without a verdict changing. The one that looks for
literals of which every match contains one has no time of preparation, so logs begin with it; where there are many of
them, Hyperscan goes on with more than literals (`log_expressions`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Protocol

from pcg.diagnosis.log_literals import literals_of

_MOST_SETS = 5000
"""of literals, that are remembered"""


class Prefilter(Protocol):
    """Made of patterns, which it tells by their indexes."""

    def hits(self, block: bytes) -> list[tuple[int, int]]:
        """For each line and each pattern that may match it, at least one place within that line, and the pattern's
        index; in order."""
        ...


def lines(block: bytes, hits: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, set[int]]]:
    """Start and end of each line that is hit, in order, and all that hits it."""
    start = end = -1
    within = set[int]()
    for place, index in hits:
        if place > end:
            if within:
                yield start, end, within
            start, end = line_at(block, place)
            within = set()
        within.add(index)
    if within:
        yield start, end, within


def line_at(block: bytes, place: int) -> tuple[int, int]:
    """Start and end of the line; a newline is of the line that it ends."""
    end = block.find(b"\n", place)
    return block.rfind(b"\n", 0, place) + 1, end if end >= 0 else len(block)


@cache
def quick_prefilter(patterns: tuple[str, ...], literals: tuple[str, ...] = ()) -> Prefilter:
    """The best of those that are made at once. `literals`, however short, are looked for as they are, in any case of
    letters; their indexes follow those of the patterns."""
    if find_spec("hyperscan") is None:
        return LiteralPrefilter(patterns, literals)
    # Only now: it is a large library, there for one kind of processor, and most commands never look at a log.
    from pcg.diagnosis.log_hyperscan import HyperscanLiterals

    return HyperscanLiterals(patterns, literals)


@dataclass(frozen=True)
class _Leads:
    """Where a set of literals leads."""

    surely: set[int]
    """patterns"""
    with_other: dict[bytes, list[tuple[int, tuple[bytes, ...]]]]
    """literals that would have to be there too: the patterns then, and what is needed besides"""


class LiteralIndex:
    """Which patterns the literals of a line may lead to."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str] = ()) -> None:
        self._uses: dict[bytes, list[tuple[int, tuple[bytes, ...]]]] = {}
        """a literal to look for: the patterns that it may lead to, and what else the line must contain for each"""
        for index, pattern in enumerate(patterns):
            for first, others in literals_of(pattern):
                self._uses.setdefault(first, []).append((index, others))
        for index, literal in enumerate(literals, len(patterns)):
            self._uses.setdefault(literal.lower().encode(), []).append((index, ()))
        self._of_set: dict[frozenset[bytes], _Leads] = {}
        """for the literals of lines so far"""

    @property
    def literals(self) -> list[bytes]:
        return sorted(self._uses)

    def patterns(self, literals: Iterable[bytes], line: bytes) -> set[int]:
        """`line` in lower case contains these literals."""
        key = frozenset(literals)
        if (leads := self._of_set.get(key)) is None:
            if len(self._of_set) >= _MOST_SETS:
                self._of_set.clear()
            leads = self._of_set[key] = self._leads(key)
        found = set(leads.surely)
        for other, those in leads.with_other.items():
            if other in line:
                found.update(index for index, others in those if all(one in line for one in others))
        return found

    def _leads(self, literals: frozenset[bytes]) -> _Leads:
        uses = {use for literal in literals for use in self._uses[literal]}
        surely = {index for index, others in uses if literals.issuperset(others)}
        with_other: dict[bytes, list[tuple[int, tuple[bytes, ...]]]] = {}
        for index, others in uses:
            if index not in surely:
                longest = max(others, key=len)
                with_other.setdefault(longest, []).append((index, tuple(one for one in others if one != longest)))
        return _Leads(surely, with_other)


class LiteralPrefilter:
    """With the standard library alone: one pass of a compiled trie over the block in lower case."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str] = ()) -> None:
        self._index = LiteralIndex(patterns, literals)
        encoded = self._index.literals
        shortest = [one for one in encoded if not any(other != one and other in one for other in encoded)]
        trie = _trie_expression(shortest)
        self._expression = re.compile(trie)
        self._at_each_place = re.compile(b"(?=(" + trie + b"))")
        self._longer = {one: [other for other in encoded if one in other] for one in shortest}

    def hits(self, block: bytes) -> list[tuple[int, int]]:
        low, search, at = block.lower(), self._expression.search, 0
        found = list[tuple[int, int]]()
        while match := search(low, at):
            start, end = line_at(low, match.start())
            line = low[start:end]
            found += [(start, index) for index in self._index.patterns(self._within(line), line)]
            at = end + 1
        return found

    def _within(self, line: bytes) -> set[bytes]:
        # No literal of the trie contains another, so at each place at most one begins.
        begun = set(self._at_each_place.findall(line))
        return {literal for one in begun for literal in self._longer[one] if literal in line}


def _trie_expression(literals: Sequence[bytes]) -> bytes:
    """An expression that matches exactly these; shared beginnings are tried once."""
    heads: dict[int, list[bytes]] = {}
    for literal in literals:
        if not literal:
            return b""
        heads.setdefault(literal[0], []).append(literal[1:])
    parts = []
    for head, tails in heads.items():
        tail = _trie_expression(tails)
        parts.append(re.escape(bytes([head])) + tail)
    return parts[0] if len(parts) == 1 else b"(?:" + b"|".join(parts) + b")"
