"""Which lines of a block may match which patterns: the fast half of the scanner, which `re` then confirms.

`Prefilter` is the whole interface: another engine may take its place without a verdict changing. The one that looks for
literals of which every match contains one has no time of preparation, so logs begin with it; where there are many of
them, Hyperscan goes on with whole patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Protocol

_SHORTEST = 3
_COMMON_WORDS = """
    with get ing out api add in from bytes full port pcg bootstrap cloud-init 101 100 200 400 401 403 404 407 two
    http https connect connected connection connecting to network response lease fault node container running
    ready read status started starting finished client service console session configuration config gateway
    machine address image pod volume request successfully registered register synced update clock time source
    server kubelet ip pool cluster folder device system kernel unit secret token user name file state version
    module done disk memory manifest link template sync expected task down download release start create created
    data certificate authority no
"""
_COMMON = frozenset(_COMMON_WORDS.split())
"""words that logs are full of: a pattern that has another literal is looked for by that one"""
_MOST_WAYS = 1000


class Prefilter(Protocol):
    """Made of patterns, which it tells by their indexes."""

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[int]]]:
        """Start and end of each line that may match, in order, each once, with all patterns that may or more."""
        ...


@cache
def quick_prefilter(patterns: tuple[str, ...], literals: tuple[str, ...] = ()) -> Prefilter:
    """The best of those that are made at once. `literals`, however short, are looked for as they are, in any case of
    letters; their indexes follow those of the patterns."""
    if find_spec("hyperscan") is None:
        return LiteralPrefilter(patterns, literals)
    # Only now: it is a large library, there for one kind of processor, and most commands never look at a log.
    from pcg.diagnosis.log_hyperscan import HyperscanLiterals

    return HyperscanLiterals(patterns, literals)


@cache
def thorough_prefilter(patterns: tuple[str, ...]) -> Prefilter | None:
    """One that takes a second to make, and is many times faster then; None where there is none."""
    if find_spec("hyperscan") is None:
        return None
    from pcg.diagnosis.log_hyperscan import HyperscanPatterns

    return HyperscanPatterns(patterns)


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

    @property
    def literals(self) -> list[bytes]:
        return sorted(self._uses)

    def patterns(self, literals: Iterable[bytes], line: bytes) -> set[int]:
        """`line` in lower case contains these literals."""
        return {
            index
            for literal in literals
            for index, others in self._uses[literal]
            if not others or all(other in line for other in others)
        }


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

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[int]]]:
        low, search, at = block.lower(), self._expression.search, 0
        while found := search(low, at):
            start = low.rfind(b"\n", 0, found.start()) + 1
            end = low.find(b"\n", found.start())
            if end < 0:
                end = len(low)
            line = low[start:end]
            if patterns := self._index.patterns(self._within(line), line):
                yield start, end, patterns
            at = end + 1

    def _within(self, line: bytes) -> set[bytes]:
        # No literal of the trie contains another, so at each place at most one begins.
        begun = set(self._at_each_place.findall(line))
        return {literal for one in begun for literal in self._longer[one] if literal in line}


@cache
def alternatives(pattern: str) -> tuple[frozenset[str], ...]:
    """Sets of lower-case literals: every match of the pattern contains all literals of at least one set.

    Raises ValueError for a pattern with a way to match that contains none: it would have to be tried on every line.
    """
    found = tuple(dict.fromkeys(_ways(parser.parse(pattern, re.IGNORECASE))))
    if not all(found):
        raise ValueError(f"no literal stands in every match of {pattern!r}")
    return found


@cache
def literals_of(pattern: str) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """For each of the alternatives, the literal by which to look for it, and the others."""
    chosen = [(max(sorted(way), key=_telling), way) for way in alternatives(pattern)]
    return tuple((first.encode(), tuple(one.encode() for one in sorted(way - {first}))) for first, way in chosen)


def _ways(sequence: Any) -> list[frozenset[str]]:
    """One set for each way through the branches of a parsed sequence; branches beyond a bound require nothing."""
    ways: list[frozenset[str]] = [frozenset()]
    run = ""
    for operation, argument in [*sequence, (None, None)]:
        if operation is constants.LITERAL and argument < 128:
            run += chr(argument).lower()
            continue
        if len(run) >= _SHORTEST:
            ways = [way | {run} for way in ways]
        run = ""
        inner = _ways_within(operation, argument)
        if len(ways) * len(inner) <= _MOST_WAYS:
            ways = [one | other for one in ways for other in inner]
    return ways


def _ways_within(operation: Any, argument: Any) -> list[frozenset[str]]:
    if operation is constants.SUBPATTERN:
        return _ways(argument[3])
    if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT) and argument[0] >= 1:
        return _ways(argument[2])
    if operation is constants.BRANCH:
        return [way for branch in argument[1] for way in _ways(branch)]
    return [frozenset()]


def _telling(literal: str) -> int:
    """The longer the better, unless each of its words is common."""
    common = all(word in _COMMON for word in literal.split())
    return len(literal) - (100 if common else 60 if len(literal) < 5 else 0)


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
