"""Which lines of a block may match any pattern at all: the fast half of the scanner, which `re` then confirms.

`Prefilter` is the whole interface: another engine may take its place without a verdict changing. This one needs only
the standard library. It knows, for each pattern, literals of which every match contains one, and looks for these.
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
    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[bytes]]]:
        """Start and end of each line that may match, in order, each once, with all literals that it contains."""
        ...


@cache
def prefilter_for(literals: frozenset[str]) -> Prefilter:
    """The best one that is at hand."""
    if find_spec("hyperscan") is None:
        return LiteralPrefilter(literals)
    # Only now: it is a large library, there for one kind of processor, and most commands never look at a log.
    from pcg.diagnosis.log_hyperscan import HyperscanPrefilter

    return HyperscanPrefilter(literals)


class LinePatterns(Protocol):
    def may_match(self, line: bytes) -> set[int] | None:
        """The indexes of all patterns that may match in this line, and perhaps others; None: any may."""
        ...


def patterns_for(patterns: Sequence[str]) -> LinePatterns | None:
    """For logs with many candidate lines; None where only `re` can tell."""
    if find_spec("hyperscan") is None:
        return None
    from pcg.diagnosis.log_hyperscan import HyperscanPatterns

    return HyperscanPatterns(patterns)


class LiteralPrefilter:
    """One pass of a compiled trie over the block in lower case."""

    def __init__(self, literals: Iterable[str]) -> None:
        encoded = sorted({literal.encode() for literal in literals})
        shortest = [one for one in encoded if not any(other != one and other in one for other in encoded)]
        trie = _trie_expression(shortest)
        self._expression = re.compile(trie)
        self._at_each_place = re.compile(b"(?=(" + trie + b"))")
        self._longer = {one: [other for other in encoded if one in other] for one in shortest}

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[bytes]]]:
        low, search, at = block.lower(), self._expression.search, 0
        while found := search(low, at):
            start = low.rfind(b"\n", 0, found.start()) + 1
            end = low.find(b"\n", found.start())
            if end < 0:
                end = len(low)
            yield start, end, self._within(low[start:end])
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
