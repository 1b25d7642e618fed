"""What is remembered of lines changes no answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from log_cases import NOW, log_cases
from pcg.diagnosis import log_matching
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_lines import parse_line
from pcg.diagnosis.log_matching import LineMatcher

LINES = sorted({line for case in log_cases()[::4] for text in case.files.values() for line in text.splitlines()})
FILES = ("var/log/syslog", "var/log/pods/kube-system_jet-7f9c6d5b8-x_0f0e0d0c-1/jet/0.log")


def _answers(matcher: LineMatcher, name: str, lines: list[str]) -> list[list[tuple[int, tuple[int, int]]]]:
    file = log_file(name)
    matcher.begin(file)
    answers = []
    for line in lines:
        uses = matcher.speaking(line.encode(), range(len(matcher.patterns)))
        found = matcher.matches(parse_line(line.encode(), 1, file, NOW), uses)
        answers.append([(use, match.span()) for use, match in found])
    return answers


def test_a_line_that_was_seen_before_is_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any file that it is in: a pod's line is the pod's."""
    lines = LINES[::6]
    matcher = LineMatcher(log_rules())
    first, other = (_answers(matcher, name, lines + lines) for name in FILES)
    assert first[: len(lines)] == first[len(lines) :]
    monkeypatch.setattr(log_matching, "_MOST_ALIKE", 1)
    monkeypatch.setattr(log_matching, "_MOST_SETS", 1)
    assert [_answers(LineMatcher(log_rules()), name, lines) for name in FILES] == [
        first[: len(lines)],
        other[: len(lines)],
    ]
    assert first != other


def test_a_line_that_is_kept_is_no_more_than_its_text() -> None:
    line = parse_line(b"bootstrap: console-reached: connection refused", 1, log_file(FILES[0]), NOW)
    matcher = LineMatcher(log_rules())
    assert matcher.matches(line, matcher.speaking(line.text.encode(), range(len(matcher.patterns))))
    assert not line.known
    assert "low" not in vars(line)


def test_what_a_signature_asks_follows_from_what_is_remembered_by() -> None:
    """The message, what wrote it, and the file: by these alone the answer is remembered."""
    uses = LineMatcher(log_rules()).uses
    asked = {ask for use in uses for ask in (use.speakers, use.signature.where, use.signature.excludes)}
    for name in FILES:
        for text in LINES[::3]:
            line = parse_line(text.encode(), 1, log_file(name), NOW)
            other = replace(line, number=2, time=None, text="of no interest", known={})
            for ask in asked:
                assert ask(line) == ask(other), (ask, text)
