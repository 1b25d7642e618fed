"""What a prefilter found is gone through from the last line to the first, each line with all that hit it."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pcg.diagnosis.log_hits import Hits
from pcg.diagnosis.log_prefilter import line_at, lines

BLOCK = b"a\nbb\n\ncccc\n\n\ndddddddd\ne"
PLACES = st.lists(st.tuples(st.integers(0, len(BLOCK) - 1), st.integers(0, 4)), max_size=30)


@given(places=PLACES)
def test_all_lines_are_told_backwards(places: list[tuple[int, int]]) -> None:
    hits = Hits.of(sorted(places))
    assert list(hits.lines_back(partial(line_at, BLOCK))) == list(lines(BLOCK, sorted(places)))[::-1]
    assert len(hits) == len(places)
    assert hits.patterns == {pattern for _, pattern in places}


@given(places=PLACES, passed=st.sets(st.integers(0, 4)), later=st.integers(0, 4), when=st.integers(0, 3))
def test_what_only_passed_patterns_hit_is_left_out(
    places: list[tuple[int, int]], passed: set[int], later: int, when: int
) -> None:
    """But where another hits a line too, they are told with it: an earlier cause may explain that line."""
    found, expected = [], []
    growing = set(passed)
    for number, one in enumerate(Hits.of(sorted(places)).lines_back(partial(line_at, BLOCK), growing)):
        found.append(one)
        if number == when:
            growing.add(later)
    so_far = set(passed)
    for one in list(lines(BLOCK, sorted(places)))[::-1]:
        if not one[2] <= so_far:
            expected.append(one)
            if len(expected) == when + 1:
                so_far.add(later)
    assert found == expected


@given(places=PLACES, first=st.integers(0, len(BLOCK)), size=st.integers(0, len(BLOCK)))
def test_a_piece_has_those_within(places: list[tuple[int, int]], first: int, size: int) -> None:
    piece = BLOCK[first : first + size]
    within = Hits.of(sorted(places)).between(first, first + size).moved(-first)
    told = [(place - first, pattern) for place, pattern in sorted(places) if first <= place < first + size]
    assert list(within.lines_back(partial(line_at, piece))) == list(lines(piece, told))[::-1]
    assert within.patterns == {pattern for _, pattern in told}


@given(places=PLACES)
def test_another_process_is_told_the_same(places: list[tuple[int, int]]) -> None:
    hits = Hits.of(sorted(places))
    told = Hits.from_bytes(hits.to_bytes())
    assert list(told.lines_back(partial(line_at, BLOCK))) == list(hits.lines_back(partial(line_at, BLOCK)))
