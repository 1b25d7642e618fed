"""The mark that says what a machine was made from."""

from __future__ import annotations

import pytest

from pcg.model.made_from import MadeFrom, parse_made_from

MADE = MadeFrom(7, 4, 8, 60, "my templates/node 1.30")


def test_the_mark_comes_back_as_it_was_written() -> None:
    assert parse_made_from(MADE.mark) == MADE


@pytest.mark.parametrize("mark", ["", "7", "7 4,8 image", "x 4,8,60 image", "7 4,8,60 ", "7 4,8,60"])
def test_what_is_no_mark_of_ours_is_none(mark: str) -> None:
    assert parse_made_from(mark) is None


def test_the_generation_alone_makes_no_difference() -> None:
    assert MADE.same_as(MadeFrom(9, 4, 8, 60, MADE.image))
    assert not MADE.same_as(MadeFrom(7, 4, 8, 61, MADE.image))
    assert not MADE.same_as(MadeFrom(7, 4, 8, 60, "other"))
