"""A log's end as it grows, while others rotate, cut and remove it; and what must never reach a page."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcg.clock import LoopClock
from pcg.errors import InvalidInput, NotFound
from pcg.gateway.monitor.log_sources import LogSource, LogSources, parse_source
from pcg.gateway.monitor.tail import FIRST_BYTES, MAXIMUM_LINE, Lines, follow, harmless


async def told(lines: AsyncIterator[str | None]) -> list[str]:
    """Everything until there is nothing new."""
    found: list[str] = []
    async for line in lines:
        if line is None:
            return found
        found.append(line)
    return found


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[tuple[Path, AsyncIterator[str | None]]]:
    path = tmp_path / "some.log"
    lines = follow(LogSource("some", "", path=path), LoopClock())
    yield path, lines
    await lines.aclose()


async def test_lines_come_whole(log: tuple[Path, AsyncIterator[str | None]]) -> None:
    path, lines = log
    path.write_text("one\ntw")
    assert await told(lines) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert await told(lines) == ["two", "three"]


async def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_beginning(
    log: tuple[Path, AsyncIterator[str | None]],
) -> None:
    path, lines = log
    path.write_text("one\n")
    assert await told(lines) == ["one"]
    with path.open("a") as file:
        file.write("last of the old\n")
    path.rename(path.with_suffix(".1"))
    path.write_text("first of the new\n")
    found = await told(lines)
    assert found[0] == "last of the old"
    assert "rotated" in found[1]
    assert found[-1] == "first of the new"


async def test_a_truncated_file_is_told_and_read_anew(log: tuple[Path, AsyncIterator[str | None]]) -> None:
    path, lines = log
    path.write_text("a long first line\n")
    await told(lines)
    path.write_text("short\n")
    assert await told(lines) == ["--- the file was truncated", "short"]


async def test_a_file_that_is_away_is_waited_for(log: tuple[Path, AsyncIterator[str | None]]) -> None:
    path, lines = log
    assert "cannot be read: No such file" in (await told(lines))[0]
    assert await told(lines) == []
    path.write_text("here\n")
    assert await told(lines) == ["--- it is there now", "here"]
    path.unlink()
    found = await told(lines)
    assert "is gone" in found[0]


async def test_only_the_end_of_a_large_file_is_shown(log: tuple[Path, AsyncIterator[str | None]]) -> None:
    path, lines = log
    path.write_text("".join(f"line {number}\n" for number in range(50_000)))
    found = await told(lines)
    assert "the last 64 KiB" in found[0]
    assert found[-1] == "line 49999"
    assert sum(len(line) for line in found) < FIRST_BYTES + 100


async def test_a_log_that_grows_too_fast_is_skipped_to_its_end(log: tuple[Path, AsyncIterator[str | None]]) -> None:
    path, lines = log
    path.write_text("one\n")
    await told(lines)
    with path.open("a") as file:
        file.write("x" * 99 + "\n")
        file.write(("y" * 99 + "\n") * 60_000)
        file.write("the end\n")
    found = await told(lines)
    assert "bytes were skipped" in found[0]
    assert found[-1] == "the end"
    assert len(found) < 1000


def test_binary_long_and_hostile_lines_are_bounded_and_harmless() -> None:
    lines = Lines()
    assert list(lines.feed(b"\xff\x00\x1b[2J ok\r\n")) == ["�\\x00\\x1b[2J ok"]
    for _ in range(100):
        assert list(lines.feed(b"z" * 10_000)) == []
    (cut,) = lines.feed(b"\nnext")
    assert cut.startswith("z" * MAXIMUM_LINE + " …")
    assert f"({1_000_000 - MAXIMUM_LINE} more bytes)" in cut
    assert list(lines.rest()) == ["next"]
    assert harmless("\u202eevil\u2028line") == "\\u202eevil\\u2028line"


def test_only_names_of_the_list_are_found(tmp_path: Path) -> None:
    (tmp_path / "syslog").write_text("x")
    sources = LogSources(tmp_path, [parse_source(f"mine={tmp_path / 'mine.log'}")])
    shown = {item.source.name: item.trouble for item in sources.listed() if item.source.path}
    assert shown == {"mine": "it is not there (yet)", "syslog": ""}
    for name in ("../syslog", "/etc/passwd", "syslog/", "", "mine.log"):
        with pytest.raises(NotFound):
            sources.find(name)
    for typed in ("x", "=/var/log/x", "x=relative", "../x=/etc/x", "X=/x"):
        with pytest.raises(InvalidInput):
            parse_source(typed)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "syslog")
    (listed,) = [item for item in LogSources(tmp_path).listed() if item.source.name == "syslog"]
    assert "not a regular file" in listed.trouble
