"""Where in a block names and addresses may stand: most of a log holds none, or the same few. For `pseudonyms.py`.

Found by Hyperscan, where its package is; all of it is wider than the patterns that then decide, and each of those
looks at no more than the words or lines which are told here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pcg.bundle.known_names import TOP_LEVELS
from pcg.diagnosis.log_prefilter import line_at

if TYPE_CHECKING:
    from pcg.diagnosis.log_hyperscan import Database

AVAILABLE = find_spec("hyperscan") is not None

_TOP = "|".join(sorted(TOP_LEVELS)).encode()
_ADDRESSES = (
    rb"\d\.\d{1,3}\.\d{1,3}\.\d",
    rb"::",
    rb"(?:[0-9A-F]{1,4}:){5}",
    rb"[0-9A-F]{2}(?:-[0-9A-F]{2}){5}",
    rb"\.(?:" + _TOP + rb")(?:[^\w-]|$)",
    rb"//",
    rb"@",
)
_DELIMITERS = b' \n"'
"""no pattern of a word looks across one of these, or tells it from an end"""
_REST_OF_WORD = re.compile(b"[^" + _DELIMITERS + b"]*")
_OPEN = (b":", b"=", b'"', b"'", b"\\", b"<", b"user", b"name", b"account", b"principal", b"owner", b"to")
"""a line that ends so may go on in the next one that is not blank"""
_FURTHER = 2
"""lines"""
_NEXT = re.compile(rb"\s*[\s<\"']*[^\n]*")


class Search:
    """`lines`: expressions, caseless, of what a pattern for lines must have; they end on the line in which it begins,
    and are told by their indexes."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        expressions = (*lines, *_ADDRESSES)
        self._lines = len(expressions) - len(_ADDRESSES)
        self._database = _compiled(expressions)
        self._names: Database | None = None
        self._known = 0

    def look(self, block: bytes) -> tuple[dict[int, list[tuple[int, int]]], list[int]]:
        """The regions that a pattern for lines must be tried on, by its index; places in words that may change."""
        regions: dict[int, list[tuple[int, int]]] = {}
        places = list[int]()
        looked: dict[int, int] = {}
        for place, number in self._database.ends(block):
            if number >= self._lines:
                places.append(place)
            elif place > looked.get(number, -1):
                start, looked[number] = line_at(block, place)
                end = _open_end(block, start, looked[number])
                those = regions.setdefault(number, [])
                if those and start <= those[-1][1]:
                    start, _ = those.pop()
                those.append((start, end))
        return regions, places

    def names(self, block: bytes, learnt: Collection[bytes]) -> list[int]:
        """Places in words that hold a learnt name. Names are never unlearnt."""
        from pcg.diagnosis.log_hyperscan import Database

        if len(learnt) != self._known:
            self._names, self._known = Database(sorted(learnt), literal=True), len(learnt)
        return [place for place, _ in self._names.ends(block)] if self._names else []


@cache
def _compiled(expressions: tuple[bytes, ...]) -> Database:
    # Only now: it is a large library, there for one kind of processor.
    from pcg.diagnosis.log_hyperscan import Database

    return Database(list(expressions), literal=False)


def words(block: bytes, places: Iterable[int], done: int) -> Iterator[tuple[int, int]]:
    """Each word from `done` on that holds one of the places, once, in order."""
    before, behind = block.rfind, _REST_OF_WORD.match
    for place in places:
        if place >= done and block[place] in _DELIMITERS:
            place -= 1  # it may be found by the character behind it
        if place < done:
            continue
        start = max(before(b" ", done, place), before(b'"', done, place), before(b"\n", done, place)) + 1 or done
        if rest := behind(block, place):  # which matches anything
            done = rest.end()
        yield start, done


def _open_end(block: bytes, start: int, end: int) -> int:
    """Of a line and what it may go on in: a name, the sign behind it, and the value may each have a line."""
    for _ in range(_FURTHER):
        if not block[start:end].rstrip()[-12:].lower().endswith(_OPEN) or not (further := _NEXT.match(block, end)):
            break
        start, end = end, further.end()
    return end
