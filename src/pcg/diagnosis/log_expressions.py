"""A pattern of `re` as expressions for Hyperscan: wherever the pattern matches, one of them does. For `log_hyperscan`.

They are wider, and that is what makes them fast, to compile and to scan with: of `pool.{0,60}exhausted`, the word that
few lines have is enough to look for, since `re` confirms each line. Anchors are left out, as where a message begins in
its line is not seen there, and so are edges (Hyperscan 5.4 misses `\\bfoo` in "xfoo foo"), but those of numbers, which
logs are full of. What counts characters here counts bytes there, so a character may be up to four.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from pcg.diagnosis.log_literals import common, literals_of, ways

_TELLING = 7
"""letters, from which on a part of a pattern is looked for without its other parts"""
_FEW = 16
"""strings, up to which an expression is told as them"""
_WIDE = 8
"""repetitions that are counted; beyond it, any number"""
_CATEGORIES = {
    constants.CATEGORY_DIGIT: rb"\d",
    constants.CATEGORY_NOT_DIGIT: rb"\D",
    constants.CATEGORY_SPACE: rb"\s",
    constants.CATEGORY_NOT_SPACE: rb"\S",
    constants.CATEGORY_WORD: rb"\w",
    constants.CATEGORY_NOT_WORD: rb"\W",
}
_BEYOND_ASCII = (constants.CATEGORY_NOT_DIGIT, constants.CATEGORY_NOT_SPACE, constants.CATEGORY_NOT_WORD)
_NO_WIDTH = (constants.AT, constants.ASSERT, constants.ASSERT_NOT)
_EDGE = "edge"
_BEFORE, _AFTER = rb"(?:^|\W)", rb"(?:\W|$)"
"""an edge as a character: a message begins behind one that is of no word, or with its line"""
_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)

_Items = list[tuple[Any, Any]]
"""a parsed sequence: operations and their arguments"""


class _Unknown(Exception):
    """Something that only `re` knows."""


def expressions(pattern: str) -> list[bytes]:
    """To be compiled as caseless."""
    try:
        found = [one for way in _alternatives(parser.parse(pattern, re.IGNORECASE)) for one in _of(way)]
    except _Unknown:
        found = [re.escape(first) for first, _ in literals_of(pattern)]
    return list(dict.fromkeys(found))


def _of(items: _Items) -> list[bytes]:
    """Of the parts between gaps, every match has all. So one is enough, if it tells much; and where it does not in each
    of its alternatives, those that do are enough alone, and the others only together with those of other parts."""
    parts: list[list[tuple[int, _Items]]] = []
    for endless in (True, False):
        parts = _told_parts(items, endless=endless)
        best = max(parts, key=_least, default=[])
        if best and _least(best) >= _TELLING:
            return _each_alone(best)
    if not parts:
        raise _Unknown
    if len(parts) == 1:
        return _each_alone(parts[0])
    alone = [[one for one in part if one[0] >= _TELLING] for part in parts]
    others = [[one for score, one in part if score < _TELLING] for part in parts]
    return [*(expression for part in alone for expression in _each_alone(part)), _together(others)]


def _told_parts(items: _Items, *, endless: bool) -> list[list[tuple[int, _Items]]]:
    """The alternatives of each part, and how much each tells."""
    parts = map(_alternatives, _parts(items, endless=endless))
    return [[(_told(one), one) for one in part] for part in parts if all(part)]


def _least(part: list[tuple[int, _Items]]) -> int:
    return min(score for score, _ in part)


def _together(parts: list[list[_Items]]) -> bytes:
    told = [
        [(_BEFORE if one[0] == (_EDGE, _BEFORE) else b"") + _expression(one) for one in parts[0]],
        *([_behind_gap(one) for one in part] for part in parts[1:-1]),
        [_behind_gap(one) + (_AFTER if one[-1] == (_EDGE, _AFTER) else b"") for one in parts[-1]],
    ]
    return b"".join(b"(?:" + b"|".join(part) + b")" for part in told)


def _behind_gap(items: _Items) -> bytes:
    """The edge may be the gap's character, or the last one before the gap."""
    return (rb"(?:.*\W)?" if items[0] == (_EDGE, _BEFORE) else b".*") + _expression(items)


def _told(items: _Items) -> int:
    """Letters of literals that are not common, on the least telling way through them: they stand close together. A
    number between its edges is as rare, though shorter."""
    if items[0] == (_EDGE, _BEFORE) and items[-1] == (_EDGE, _AFTER):
        return _TELLING
    return min(sum(len(one) for one in way if not common(one)) for way in ways(items))


def _alternatives(sequence: Any) -> list[_Items]:
    """The branches, where it is nothing but branches."""
    items = _trimmed(_flat(sequence))
    if len(items) == 1 and items[0][0] is constants.BRANCH:
        return [one for branch in items[0][1][1] for one in _alternatives(branch)]
    return [items]


def _flat(sequence: Any) -> _Items:
    """Without groups, but those that repeat; the edges of numbers are told."""
    flat: _Items = []
    for operation, argument in sequence:
        flat += _flat(argument[3]) if operation is constants.SUBPATTERN else [(operation, argument)]
    for at, item in enumerate(flat):
        if item == (constants.AT, constants.AT_BOUNDARY):
            if _number(flat[at + 1 : at + 2]):
                flat[at] = (_EDGE, _BEFORE)
            elif _number(flat[max(at - 1, 0) : at]):
                flat[at] = (_EDGE, _AFTER)
    return flat


def _number(items: _Items) -> bool:
    """Of one item: whether it is a digit, or one of several."""
    return any(
        all(_number([one]) for one in argument)
        if operation is constants.IN
        else operation is constants.LITERAL and chr(argument).isdecimal()
        for operation, argument in items
    )


def _trimmed(items: _Items) -> _Items:
    """Without what may be missing at either end, and with what repeats there as seldom as it may."""
    items = [item for item in items if item[0] not in _NO_WIDTH]
    while items and _optional(items[0]):
        items = items[1:]
    while items and _optional(items[-1]):
        items = items[:-1]
    if items and items[-1][0] in _REPEATS:
        operation, (least, _, inner) = items[-1]
        items = [*items[:-1], (operation, (least, least, inner))]
    ends = {0: (_EDGE, _BEFORE), len(items) - 1: (_EDGE, _AFTER)}
    return [item for at, item in enumerate(items) if item[0] is not _EDGE or item == ends.get(at)]


def _optional(item: tuple[Any, Any]) -> bool:
    return item[0] in _REPEATS and item[1][0] == 0


def _parts(items: _Items, *, endless: bool) -> list[_Items]:
    """What stands between gaps: repetitions of nearly any character; with `endless`, of anything without a bound."""
    parts: list[_Items] = [[]]
    for operation, argument in items:
        repeats = operation in _REPEATS
        inner = argument[2][0][0] if repeats and len(argument[2]) == 1 else None
        if inner in (constants.ANY, constants.NOT_LITERAL) or (
            endless and repeats and argument[1] is constants.MAXREPEAT
        ):
            parts.append([])
        else:
            parts[-1].append((operation, argument))
    return [part for part in map(_trimmed, parts) if part]


def _each_alone(part: list[tuple[int, _Items]]) -> list[bytes]:
    return [expression for _, one in part for expression in _spelled_out(one) or [_alone(one)]]


def _spelled_out(items: _Items) -> list[bytes]:
    """All that it matches, where that is a few strings: they take next to no time to compile. Otherwise nothing."""
    found = [b""]
    for operation, argument in items:
        if operation is constants.LITERAL:
            more = _letters([(operation, argument)])
        elif operation is constants.IN:
            more = _letters(argument)
        elif operation is constants.BRANCH:
            branches = [_spelled_out(_flat(branch)) for branch in argument[1]]
            more = [one for branch in branches for one in branch] if all(branches) else []
        elif operation in _REPEATS and argument[:2] == (0, 1):
            inner = _spelled_out(_flat(argument[2]))
            more = [b"", *inner] if inner else []
        else:
            return []
        found = [one + other for one in found for other in more]
        if len(found) > _FEW:
            return []
    return found


def _letters(items: _Items) -> list[bytes]:
    """Nothing, if there are others among them."""
    plain = all(operation is constants.LITERAL and argument < 128 for operation, argument in items)
    return [re.escape(bytes([argument])) for _, argument in items] if plain else []


def _alone(items: _Items) -> bytes:
    """With the edges, which take a character that an expression before it might have taken."""
    return b"".join(argument if operation is _EDGE else _one(operation, argument) for operation, argument in items)


def _expression(items: Sequence[tuple[Any, Any]]) -> bytes:
    return b"".join(_one(operation, argument) for operation, argument in items)


def _one(operation: Any, argument: Any) -> bytes:
    if (character := _character(operation, argument)) is not None:
        text, longest = character
        return text if longest == 1 else text + b"{1,4}"
    if operation is constants.BRANCH:
        return b"(?:" + b"|".join(_expression(_flat(branch)) for branch in argument[1]) + b")"
    if operation in _REPEATS:
        return _repeat(*argument)
    if operation is _EDGE or operation in _NO_WIDTH:
        return b""
    raise _Unknown


def _repeat(least: int, most: Any, sequence: Any) -> bytes:
    items = _flat(sequence)
    text, longest = (_character(*items[0]) if len(items) == 1 else None) or (_expression(items), 1)
    counted = most is not constants.MAXREPEAT and most <= _WIDE
    times = b"{%d,%d}" % (least, most * longest) if counted else b"{%d,}" % least
    return b"(?:" + text + b")" + times if text else b""


def _character(operation: Any, argument: Any) -> tuple[bytes, int] | None:
    """A class of bytes, and how many of them one character may be; none for what is not one character."""
    if operation is constants.ANY:
        return b".", 4
    if operation is constants.LITERAL:
        return (re.escape(bytes([argument])), 1) if argument < 128 else (rb"[\x80-\xff]", 4)
    if operation is constants.NOT_LITERAL:
        return _class([(constants.NEGATE, None), (constants.LITERAL, argument)]), 4
    if operation is constants.IN:
        return _class(argument), 4 if any(_beyond_ascii(*one) for one in argument) else 1
    return None


def _beyond_ascii(operation: Any, argument: Any) -> bool:
    if operation is constants.LITERAL:
        return bool(argument >= 128)
    if operation is constants.RANGE:
        return bool(argument[1] >= 128)
    return operation is constants.NEGATE or argument in _BEYOND_ASCII


def _class(items: Sequence[tuple[Any, Any]]) -> bytes:
    if any(operation is constants.NEGATE for operation, _ in items):
        # Never a newline: what is looked for stands in one line. What is beyond ASCII cannot be left out byte by byte.
        told = [_member(*one) for one in items if one[0] is not constants.NEGATE and not _beyond_ascii(*one)]
        return rb"[^\n" + b"".join(told) + b"]"
    return b"[" + b"".join(_member(*one) for one in items) + b"]"


def _member(operation: Any, argument: Any) -> bytes:
    if operation is constants.LITERAL:
        return rb"\x%02x" % argument if argument < 128 else rb"\x80-\xff"
    if operation is constants.RANGE:
        first, last = argument
        return rb"\x%02x-\x%02x" % (min(first, 128), last if last < 128 else 255)
    if operation is constants.CATEGORY:
        return _CATEGORIES[argument]
    raise _Unknown
