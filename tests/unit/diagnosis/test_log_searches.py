"""The process that searches logs changes no answer, whether it is there, ends or hangs; and it never stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest

from log_cases import NOW, log_cases
from pcg.bundle.limits import Limits
from pcg.bundle.members import expected_bytes
from pcg.bundle.reading import read_logs
from pcg.diagnosis import log_scan, log_searches
from pcg.diagnosis.log_blocks import Block
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_scan import LogScanner
from pcg.diagnosis.log_searches import AHEAD, SearchProcess

pytestmark = pytest.mark.skipif(find_spec("hyperscan") is None, reason="Hyperscan has no package for this machine")

BLOCKS = [
    "".join(f"{line}\n" for text in case.files.values() for line in text.splitlines()).encode() * 3
    for case in log_cases()[::6]
]
FILE = log_file("var/log/syslog")
PATTERNS = ("connection refused", r"no such host.{0,9}\b53\b")


def _told(scanner: LogScanner) -> object:
    return scanner.tallies, scanner.lines


def _alone() -> object:
    scanner = LogScanner(log_rules(), NOW)
    scanner.begin(FILE)
    for block in BLOCKS:
        scanner.feed(block)
    scanner.finish()
    return _told(scanner)


@pytest.fixture
def process() -> Iterator[SearchProcess]:
    made = SearchProcess(PATTERNS, lambda: None)
    assert made._answers.poll(30)
    assert made.ready
    yield made
    made.close()


def _stop(process: SearchProcess) -> None:
    process._process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process._process.pid, os.WSTOPPED | os.WNOWAIT)


def _all_found(process: SearchProcess) -> list[tuple[bytes, list[tuple[int, int, set[int]]]]]:
    found = []
    while process.waiting:
        block, hits = process.found()
        found.append((block.text(0, block.size), list(hits.lines_back(block.line_at))))
        process.release(block)
    return found


@pytest.mark.parametrize("stopped", [False, True])
def test_blocks_are_told_in_turn_wherever_they_are_searched(process: SearchProcess, stopped: bool) -> None:
    """With more than it is asked for at once, and while it does nothing."""
    blocks = [b"x" * number + b" connection refused\n" for number in range(AHEAD + 1)]
    for _ in range(3):
        if stopped:
            _stop(process)
        for block in blocks:
            process.search(FILE, 1, (block[:5], memoryview(block)[5:]))
        assert process.due  # there is no room for more
        process._process.send_signal(signal.SIGCONT)
        assert _all_found(process) == [(block, [(0, len(block) - 1, {0})]) for block in blocks]
        assert not process.due


def test_what_is_too_large_for_the_memory_is_searched_too(process: SearchProcess) -> None:
    large = b"of no interest\n" * 600_000 + b"connection refused\n"
    blocks = [b"one\n", large, b"connection refused\n"]
    for block in blocks:
        process.search(FILE, 1, (block,))
    assert [(text, len(lines)) for text, lines in _all_found(process)] == [(blocks[0], 0), (large, 1), (blocks[2], 1)]


def test_what_is_full_of_hits_or_has_none_is_told_too(process: SearchProcess) -> None:
    full, empty = b"connection refused\n" * 210_000, b"of no interest\n"
    for block in (full, empty, full, empty):
        process.search(FILE, 1, (block,))
    assert [len(lines) for _, lines in _all_found(process)] == [210_000, 0, 210_000, 0]


def test_of_a_process_that_has_ended_nothing_is_lost(process: SearchProcess) -> None:
    blocks = [b"x" * number + b" connection refused\n" for number in range(12)]
    found = []
    for number, block in enumerate(blocks):
        process.search(FILE, 1, (block,))
        if number == 1:
            process._process.kill()
        if process.due or number % 2:
            told, hits = process.found()
            found.append((told.text(0, told.size), list(hits.lines_back(told.line_at))))
            process.release(told)
    assert [*found, *_all_found(process)] == [(block, [(0, len(block) - 1, {0})]) for block in blocks]


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_process_that_is_killed_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, searching: list[SearchProcess], at: int
) -> None:
    alone = _alone()
    monkeypatch.setattr(log_scan, "_MUCH", 1)
    with LogScanner(log_rules(), NOW) as scanner:
        scanner.begin(FILE)
        for number, block in enumerate(BLOCKS):
            scanner.feed(block)
            if number == at:
                searching[0]._process.kill()
        scanner.finish()
    assert _told(scanner) == alone


def test_one_that_hangs_within_a_message_is_given_up(process: SearchProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Pipe()
    monkeypatch.setattr(log_searches, "_MESSAGE_SECONDS", 1)
    log_searches._limit(here)
    process.search(FILE, 1, (b"connection refused\n",))
    os.write(there.fileno(), b"\0\0\1\0and no more")
    theirs, process._answers = process._answers, here
    assert [text for text, _ in _all_found(process)] == [b"connection refused\n"]
    assert process._process.wait(30) == -signal.SIGKILL
    for one in (theirs, there):
        one.close()


def test_one_that_cannot_be_started_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _alone()
    monkeypatch.setattr(log_scan, "_MUCH", 1)
    monkeypatch.setattr(log_searches, "_COMMAND", ("/nowhere/python",))
    with LogScanner(log_rules(), NOW) as scanner:
        scanner.begin(FILE)
        for block in BLOCKS:
            scanner.feed(block)
        scanner.finish()
    assert _told(scanner) == alone
    assert scanner._process is None


def test_one_that_hangs_is_waited_for_no_longer_than_reading_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searching: list[SearchProcess]
) -> None:
    (tmp_path / "syslog").write_bytes(b"a line of no interest\n" * 2_000_000)
    search, now = SearchProcess.search, count()

    def hang(process: SearchProcess, *what: Any) -> Block:
        if not stopped:
            _stop(process)
            stopped.append(process)
        return search(process, *what)

    stopped = list[SearchProcess]()
    monkeypatch.setattr(SearchProcess, "search", hang)
    monkeypatch.setattr(log_searches, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(log_scan, "_MUCH", 1)
    told = read_logs(
        tmp_path / "syslog", NOW, Limits(seconds=99, monotonic=lambda: next(now) if stopped else 0.0)
    ).unread
    assert [reason for _, reason in told] == ["reading took longer than 99 s; the rest is not read"]
    assert searching[0]._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_ends_a_reading_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searching: list[SearchProcess], error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("broken")

    (tmp_path / "syslog").write_bytes(b"a line of no interest\n" * 1_000_000)
    monkeypatch.setattr(LogScanner, "_judge", fail)
    with pytest.raises(error, match="broken"):
        read_logs(tmp_path / "syslog", NOW)
    assert [process._process.returncode for process in searching] == [-signal.SIGKILL]


def test_nothing_is_loaded_from_the_folder_that_somebody_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be the unpacked logs of a stranger."""
    (tmp_path / "json.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "hyperscan.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    process = SearchProcess(PATTERNS, lambda: None)
    try:
        assert process._answers.poll(30)
        assert process.ready
    finally:
        process.close()


def test_it_ends_with_who_started_it(process: SearchProcess) -> None:
    process._answers.close()
    assert process._process.wait(30) == 0


def test_it_is_started_when_much_is_expected(searching: list[SearchProcess]) -> None:
    with LogScanner(log_rules(), NOW, expected=1 << 20):
        assert not searching
    with LogScanner(log_rules(), NOW, expected=8 << 20):
        assert len(searching) == 1


def test_how_much_is_expected(tmp_path: Path) -> None:
    plain, packed = tmp_path / "syslog", tmp_path / "syslog.gz"
    plain.write_bytes(b"a line of no interest\n" * 500)
    assert expected_bytes(plain) == plain.stat().st_size
    packed.write_bytes(b"\x1f\x8b" + bytes(998))
    assert expected_bytes(packed) == 8000
    os.mkfifo(tmp_path / "pipe")
    assert expected_bytes(tmp_path) == expected_bytes(tmp_path / "none") == expected_bytes(tmp_path / "pipe") == 0
