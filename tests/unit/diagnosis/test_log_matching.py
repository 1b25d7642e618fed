"""What is remembered of lines changes no answer, and no thread outlives a reading, however it ends."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from log_cases import NOW, log_cases
from pcg.bundle.reading import read_logs
from pcg.diagnosis import log_hits, log_matching, log_scan
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_lines import parse_line
from pcg.diagnosis.log_matching import LineMatcher
from pcg.diagnosis.log_scan import LogScanner

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


@pytest.mark.skipif(find_spec("hyperscan") is None, reason="without it nothing is loud")
@pytest.mark.parametrize("loud", [2, 8])
@pytest.mark.parametrize("end", [0, 500, 5000])
@pytest.mark.parametrize("most", [10_000, 150])
def test_what_is_loud_is_looked_for_at_the_end_first(
    monkeypatch: pytest.MonkeyPatch, loud: int, end: int, most: int
) -> None:
    """And that changes nothing, whether it was enough or not, where lines have no time, and where hits are too many."""
    lines = [f"Feb  3 04:{number % 60:02d}:00 a {line}" if number % 3 else line for number, line in enumerate(LINES)]
    block = "\n".join((lines[::9] + lines[1::31] * 2) * 3).encode() + b"\n"
    monkeypatch.setattr(log_scan, "_MUCH", 1)
    monkeypatch.setattr(log_scan, "_LOUD", loud)
    monkeypatch.setattr(log_scan, "_MOST_HITS", most)
    monkeypatch.setattr(log_hits, "_END", end)
    told, tallies = list[bool](), []
    for long in (0, 1 << 60):
        monkeypatch.setattr(log_scan, "_LONG", long)
        with LogScanner(log_rules(), NOW) as scanner:
            for name in (FILES[0], "var/log/kern.log"):
                scanner.begin(log_file(name))
                for _ in range(12):
                    scanner.feed(block)
                    if scanner._loud is not None:
                        scanner._loud.result()
                        told.append(scanner._loud_in(log_file(name)) is not None)
            scanner.finish()
        tallies.append(scanner.tallies)
    assert tallies[0] == tallies[1]
    assert {True, False} == set(told)  # in the other file, at first


def _scanning() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("logs")]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_ends_a_reading_is_told_and_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("broken")

    (tmp_path / "syslog").write_bytes(b"a line of no interest\n" * 1_000_000)
    monkeypatch.setattr(log_scan.LogScanner, "_search", fail)
    with pytest.raises(error, match="broken"):
        read_logs(tmp_path / "syslog", NOW)
    assert not _scanning()


def test_a_reading_that_is_interrupted_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        assert _scanning()
        raise KeyboardInterrupt

    (tmp_path / "syslog").write_bytes(b"a line of no interest\n" * 1_500_000)
    monkeypatch.setattr(log_scan.LogScanner, "_judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_logs(tmp_path / "syslog", NOW)
    assert not _scanning()
