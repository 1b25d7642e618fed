"""A log's end, line by line as it grows: files that are rotated, truncated, away for a while, or not text at all.

Lines come with whatever a terminal or a page would obey made harmless, and cut where they are too long. Used by the
live view of `pages.py`, which sends each line as one server-sent event.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import BinaryIO

from pcg.clock import Clock
from pcg.gateway.monitor.log_sources import LogSource

FIRST_BYTES = 64 * 1024
"""of the log's end that are shown at first"""
MAXIMUM_LINE = 4096
"""bytes of a line that are shown"""
LOOK_SECONDS = 0.5

_READ_BYTES = 64 * 1024
_BEHIND_BYTES = 4 * 1024 * 1024
"""a log that grows faster than it is shown is skipped to its end"""
_MARK = "--- "


class Lines:
    """Bytes in, whole lines out; holds at most one cut line."""

    def __init__(self) -> None:
        self._begun = b""
        self._cut = 0

    def feed(self, data: bytes) -> Iterator[str]:
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._add(part)
            yield self._take()
        self._add(rest)

    def rest(self) -> Iterator[str]:
        """The line that never ended, if there is one."""
        if self._begun:
            yield self._take()

    def _add(self, part: bytes) -> None:
        room = MAXIMUM_LINE - len(self._begun)
        self._begun += part[:room]
        self._cut += max(0, len(part) - room)

    def _take(self) -> str:
        text = harmless(self._begun.rstrip(b"\r").decode(errors="replace"))
        if self._cut:
            text += f" … ({self._cut} more bytes)"
        self._begun, self._cut = b"", 0
        return text


def harmless(text: str) -> str:
    """Control characters and what turns the direction of writing are shown, not obeyed."""
    return "".join(symbol if symbol.isprintable() or symbol == "\t" else repr(symbol)[1:-1] for symbol in text)


async def follow(source: LogSource, clock: Clock) -> AsyncGenerator[str | None, None]:
    """Lines for ever; None now and then when there is nothing new, so that the caller can look whether it is wanted."""
    if source.path is None:
        async with contextlib.aclosing(_follow_journal(source)) as printed:
            async for line in printed:
                yield line
        return
    file, away = None, False
    lines = Lines()
    try:
        while True:
            if file is None:
                try:
                    file = await asyncio.to_thread(source.open)
                except OSError as error:
                    if not away:
                        yield f"{_MARK}it cannot be read: {harmless(error.strerror or str(error))}; waiting for it"
                    away = True
                else:
                    if away:
                        yield f"{_MARK}it is there now"
                    elif _to_the_end(file):
                        yield f"{_MARK}the last {FIRST_BYTES // 1024} KiB; download it for all"
                    away = True
            if file is not None:
                got, notes = await asyncio.to_thread(_more, file)
                for note in notes:
                    yield note
                if got:
                    for line in lines.feed(got):
                        yield line
                    continue
                if await asyncio.to_thread(_replaced, source, file):
                    for line in lines.rest():
                        yield line
                    yield f"{_MARK}the file was rotated or is gone"
                    file.close()
                    file = None
                    continue
            yield None
            await clock.sleep(LOOK_SECONDS)
    finally:
        if file is not None:
            file.close()


def _to_the_end(file: BinaryIO) -> bool:
    """Whether something is left out."""
    size = os.fstat(file.fileno()).st_size
    if size <= FIRST_BYTES:
        return False
    file.seek(size - FIRST_BYTES)
    file.readline(MAXIMUM_LINE)
    return True


def _more(file: BinaryIO) -> tuple[bytes, list[str]]:
    notes, size, place = [], os.fstat(file.fileno()).st_size, file.tell()
    if size < place:
        notes.append(f"{_MARK}the file was truncated")
        file.seek(0)
    elif size - place > _BEHIND_BYTES:
        notes.append(f"{_MARK}{size - place - FIRST_BYTES} bytes were skipped: it grows faster than it can be shown")
        file.seek(size - FIRST_BYTES)
    return file.read(_READ_BYTES), notes


def _replaced(source: LogSource, file: BinaryIO) -> bool:
    assert source.path is not None
    try:
        now = source.path.stat()
    except OSError:
        return True
    was = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (was.st_dev, was.st_ino)


async def _follow_journal(source: LogSource) -> AsyncGenerator[str | None, None]:
    lines = Lines()
    async with journal(source, "--lines", "500", "--follow") as output:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    got = await output.read(_READ_BYTES)
            except TimeoutError:
                yield None
                continue
            if not got:
                yield f"{_MARK}journalctl has ended"
                return
            for line in lines.feed(got):
                yield line


@contextlib.asynccontextmanager
async def journal(source: LogSource, *more: str) -> AsyncIterator[asyncio.StreamReader]:
    """What journalctl prints; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *source.journal(*more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
