"""What a prefilter found in one block, as the scanner (`log_scan`) goes through it: from its last line to the first."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, Self

LineAt = Callable[[int], tuple[int, int]]
"""start and end of the line at a place"""
TOO_MANY = b"?"
"""what a process answers instead of hits: who asked is to search the block alone, so that they are there once"""
if TYPE_CHECKING:
    Places = array[int] | memoryview[int]


class Hits:
    """For each pattern its places, in order. There may be millions, and most lines of a loud pattern are passed over,
    so a place takes four bytes, and no time until it is asked for."""

    def __init__(self, places: Mapping[int, Places]) -> None:
        self._places = places

    @classmethod
    def of(cls, hits: Iterable[tuple[int, int]]) -> Self:
        """Places and patterns, in order."""
        places: dict[int, array[int]] = {}
        for place, pattern in hits:
            if (those := places.get(pattern)) is None:
                those = places[pattern] = array("I")
            those.append(place)
        return cls(places)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        numbers, at = memoryview(data).cast("I"), 0
        places: dict[int, Places] = {}
        while at < len(numbers):
            pattern, count = numbers[at], numbers[at + 1]
            places[pattern] = numbers[at + 2 : at + 2 + count]
            at += 2 + count
        return cls(places)

    def to_bytes(self) -> bytes:
        """For another process of this machine."""
        return b"".join(
            array("I", [pattern, len(places)]).tobytes() + places.tobytes() for pattern, places in self._places.items()
        )

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    @property
    def patterns(self) -> set[int]:
        return set(self._places)

    def between(self, first: int, last: int) -> Hits:
        """Those from `first` to before `last`."""
        within = {}
        for pattern, places in self._places.items():
            at = bisect_left(places, first)
            if (end := bisect_left(places, last, at)) > at:
                within[pattern] = places[at:end]
        return Hits(within)

    def moved(self, by: int) -> Hits:
        """As places of a block that begins so many bytes earlier; later, if it is negative."""
        return Hits({pattern: array("I", [place + by for place in places]) for pattern, places in self._places.items()})

    def lines_back(self, line_at: LineAt, passed: Container[int] = ()) -> Iterator[tuple[int, int, set[int]]]:
        """Start and end of each line that is hit, and all that hits it, from the last line to the first; without those
        that only `passed` hit, which may grow meanwhile."""
        left = {pattern: len(places) for pattern, places in self._places.items()}
        aside = list[int]()
        """passed ones, whose lines are not gone through"""
        ahead = [(-places[-1], pattern) for pattern, places in self._places.items() if places]
        heapify(ahead)

        def take(pattern: int, start: int, end: int) -> bool:
            places = self._places[pattern]
            at = bisect_left(places, start, 0, left[pattern])
            hit = at < left[pattern] and places[at] <= end
            left[pattern] = at
            return hit

        while ahead:
            place, pattern = ahead[0]
            if pattern in passed:
                aside.append(heappop(ahead)[1])
                continue
            start, end = line_at(-place)
            within = {pattern for pattern in aside if take(pattern, start, end)}
            while ahead and -ahead[0][0] >= start:
                pattern = ahead[0][1]
                take(pattern, start, end)
                within.add(pattern)
                if left[pattern]:
                    heapreplace(ahead, (-self._places[pattern][left[pattern] - 1], pattern))
                else:
                    heappop(ahead)
            yield start, end, within
