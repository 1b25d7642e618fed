"""What a prefilter found in one block, as the scanner (`log_scan`) goes through it: from its last line to the first.

Each hit that Hyperscan tells calls Python, which soon costs more than the scan, and stops it while another thread
works. Of patterns that have had their fill only the last lines of a block matter, so where they are loud they are
looked for at its end alone, and in the rest of it only if that was not enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property

from pcg.diagnosis.log_prefilter import Prefilter, line_at, lines_back

_END = 1 << 18
"""bytes of a block in which loud patterns are looked for"""


@dataclass(frozen=True)
class Loud:
    """Patterns that hit often."""

    patterns: frozenset[int]
    others: Prefilter
    """for the other patterns"""
    alone: Prefilter
    """for them"""

    def hits(self, data: bytes, most: int | None) -> Hits:
        """Raises TooMany."""
        end = line_at(data, max(len(data) - _END, 0))[0]
        places = self.others.hits(data, most)
        places += [(end + place, index) for place, index in self.alone.hits(data[end:], most)]
        places.sort()
        return Hits(data, places, self, end, most)


@dataclass(frozen=True)
class Hits:
    data: bytes
    places: list[tuple[int, int]]
    """and the pattern of each, in order"""
    loud: Loud | None = None
    end: int = 0
    """the first place from where on the loud ones are among them"""
    most: int | None = None

    @property
    def patterns(self) -> set[int]:
        found = {index for _, index in self.places}
        return found | self.loud.patterns if self.loud else found

    def lines_back(self, passed: Container[int] = ()) -> Iterator[tuple[int, int, set[int]]]:
        """As of the prefilter. `passed` may grow meanwhile. Raises TooMany."""
        if self.loud is None:
            yield from lines_back(self.data, self.places, passed)
            return
        end = bisect_left(self.places, (self.end,))
        yield from lines_back(self.data, self.places[end:], passed)
        if all(index in passed for index in self.loud.patterns):
            for first, last, patterns in lines_back(self.data, self.places[:end], passed):
                yield first, last, patterns | self.loud.patterns  # they may be there, too
        else:
            yield from lines_back(self.data, self._all[: bisect_left(self._all, (self.end,))], passed)

    def complete(self) -> None:
        """With the loud ones everywhere. Raises TooMany, which `between` does not afterwards."""
        _ = self._all

    def between(self, first: int, last: int) -> Hits:
        """Those within, the loud ones too."""
        return Hits(self.data, self._all[bisect_left(self._all, (first,)) : bisect_left(self._all, (last,))])

    @cached_property
    def _all(self) -> list[tuple[int, int]]:
        if self.loud is None:
            return self.places
        before = self.loud.alone.hits(self.data[: self.end], self.most)
        return sorted([*self.places, *before])
