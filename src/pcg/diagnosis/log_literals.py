"""The literals by which a pattern of `re` is looked for: every match contains some. Pure; for the prefilters.

Which of them tell much is known from what logs are full of.
"""

from __future__ import annotations

import re
from functools import cache
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_SHORTEST = 3
_COMMON_WORDS = """
    with get ing out api add in from bytes full port pcg bootstrap cloud-init 101 100 200 400 401 403 404 407 two
    http https connect connected connection connecting to network response lease fault node container running
    ready read status started starting finished client service console session configuration config gateway
    machine address image pod volume request successfully registered register synced update clock time source
    server kubelet ip pool cluster folder device system kernel unit secret token user name file state version
    module done disk memory manifest link template sync expected task down download release start create created
    data certificate authority no error errors failed fail failure invalid unknown missing found denied expired lost
    closed close finished complete completed succeeded success stopped restarted healthy warning timeout endpoint event
    host path key code chrony chronyd etcd kube-apiserver
"""
_COMMON = frozenset(_COMMON_WORDS.split())
"""words that logs are full of: a pattern that has another literal is looked for by that one"""
_MOST_WAYS = 1000


@cache
def alternatives(pattern: str) -> tuple[frozenset[str], ...]:
    """Sets of lower-case literals: every match of the pattern contains all literals of at least one set.

    Raises ValueError for a pattern with a way to match that contains none: it would have to be tried on every line.
    """
    found = tuple(dict.fromkeys(ways(parser.parse(pattern, re.IGNORECASE))))
    if not all(found):
        raise ValueError(f"no literal stands in every match of {pattern!r}")
    return found


@cache
def literals_of(pattern: str) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """For each of the alternatives, the literal by which to look for it, and the others."""
    chosen = [(max(sorted(way), key=telling), way) for way in alternatives(pattern)]
    return tuple((first.encode(), tuple(one.encode() for one in sorted(way - {first}))) for first, way in chosen)


def ways(sequence: Any) -> list[frozenset[str]]:
    """A set of literals for each way through the branches of a parsed sequence; those beyond a bound need none."""
    found: list[frozenset[str]] = [frozenset()]
    run = ""
    for operation, argument in [*sequence, (None, None)]:
        if operation is constants.LITERAL and argument < 128:
            run += chr(argument).lower()
            continue
        if len(run) >= _SHORTEST:
            found = [way | {run} for way in found]
        run = ""
        inner = _ways_within(operation, argument)
        if len(found) * len(inner) <= _MOST_WAYS:
            found = [one | other for one in found for other in inner]
    return found


def _ways_within(operation: Any, argument: Any) -> list[frozenset[str]]:
    if operation is constants.SUBPATTERN:
        return ways(argument[3])
    if operation in (constants.MAX_REPEAT, constants.MIN_REPEAT) and argument[0] >= 1:
        return ways(argument[2])
    if operation is constants.BRANCH:
        return [way for branch in argument[1] for way in ways(branch)]
    return [frozenset()]


def telling(literal: str) -> int:
    """How few lines have it: the longer the better, unless each of its words is common."""
    return len(literal) - (100 if common(literal) else 60 if len(literal) < 5 else 0)


def common(literal: str) -> bool:
    return all(word in _COMMON for word in literal.split())
