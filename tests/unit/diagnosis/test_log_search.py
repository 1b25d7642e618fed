"""A search in lower case finds what `re` finds where case is ignored, at the same places."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log_cases import log_cases
from pcg.diagnosis import log_context
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_matching import LineMatcher
from pcg.diagnosis.log_search import RareSearch, Search, lower_ascii, lowered

_SIGNATURES = [use.signature for use in LineMatcher(log_rules()).uses]
_QUESTIONS = [one for one in vars(log_context).values() if isinstance(one, Search)]
SEARCHES = list(
    {
        one.pattern: one
        for signature in _SIGNATURES
        for one in (signature.search, signature.excluded, *_QUESTIONS)
        if one is not None
    }.values()
)
LINES = sorted({line for case in log_cases() for text in case.files.values() for line in text.splitlines()})


def _spans(found: re.Match[str] | None) -> list[tuple[int, int]] | None:
    return None if found is None else [found.span(group) for group in range(found.re.groups + 1)]


def test_lines_of_the_cases_give_the_same_places() -> None:
    for search in SEARCHES:
        for line in LINES[::5]:
            assert _spans(search(line, lower_ascii(line))) == _spans(search.compiled.search(line)), search.pattern


@settings(max_examples=40)
@given(st.data())
def test_so_does_any_line_in_any_case(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(LINES).map(str.swapcase) | st.text(max_size=200))
    for search in SEARCHES:
        assert _spans(search(line, lower_ascii(line))) == _spans(search.compiled.search(line)), search.pattern


def test_every_question_about_a_line_has_literals_to_look_for() -> None:
    assert len(_QUESTIONS) > 5
    for question in _QUESTIONS:
        assert isinstance(question, RareSearch)
        assert question("nothing of it", "nothing of it") is None


def test_letters_that_only_look_like_ascii_in_lower_case_are_no_ascii() -> None:
    assert lower_ascii("\N{KELVIN SIGN}") is None


@pytest.mark.parametrize(
    ("pattern", "low"),
    [
        (r"No \S+ at \D\W", r"no \S+ at \D\W"),
        (r"(?P<Name>A|B)[A-F]", r"(?P<Name>a|b)[a-f]"),
        (r"\\S", r"\\s"),
    ],
)
def test_only_letters_are_lowered(pattern: str, low: str) -> None:
    assert lowered(pattern) == low


def test_no_pattern_sets_flags_of_its_own() -> None:
    """They would be lowered, too."""
    for search in SEARCHES:
        assert search.compiled.groupindex == re.compile(lowered(search.pattern)).groupindex
        assert not re.search(r"\(\?(?![:=!<]|P<)", search.pattern), search.pattern
