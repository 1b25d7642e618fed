"""One log file as chunks, safely: whatever it is by now, however it grows, wherever a link leads.

For `collecting.py`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pcg.bundle.limits import Budget, Limits
from pcg.bundle.unpacking import CHUNK, READABLE, packing_of, unpack


class Skipped(Exception):
    """Not in the bundle; the text says why."""


@dataclass
class OpenFile:
    name: str
    modified: float
    chunks: Iterator[bytes]
    left_out: str
    """what of it is not among the chunks"""
    close: Callable[[], None]


def open_log(path: Path, name: str, within: tuple[Path, ...], most: int, tell: Callable[[str], None]) -> OpenFile:
    """Its last `most` bytes: the newest lines tell most. The caller closes it.

    Raises Skipped.
    """
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise Skipped("a link that leads nowhere" if path.is_symlink() else "not there") from None
    except RuntimeError:
        raise Skipped("links that lead in a circle") from None
    except OSError as error:
        raise Skipped(f"cannot be opened: {error.strerror}") from None
    if not _inside(real, within):
        raise Skipped("a link that leads out of the folders of logs; not followed")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise Skipped(f"cannot be opened: {error.strerror}") from None
    file = os.fdopen(descriptor, "rb", buffering=0)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise Skipped("not a plain file; not opened")
        # A folder on the way may have become a link since.
        if not _inside(Path(os.readlink(f"/proc/self/fd/{descriptor}")), within):  # noqa: PTH115 - of a descriptor
            raise Skipped("a link that leads out of the folders of logs; not followed")
        return _contents(file, name, state, most, tell)
    except BaseException:
        file.close()
        raise


def _contents(file: BinaryIO, name: str, state: os.stat_result, most: int, tell: Callable[[str], None]) -> OpenFile:
    head = os.pread(file.fileno(), 512, 0)
    packing = packing_of(head)
    if packing and packing not in READABLE:
        raise Skipped(f"packed by {packing}, which is not read here")
    if packing:
        bound = Budget(Limits(total_bytes=4 * most))
        inner = unpack(_bytes(file, state.st_size, tell), packing, bound, tell)
        stem, _, ending = name.rpartition(".")
        return OpenFile(stem if ending in ("gz", "xz", "bz2") else name, state.st_mtime, inner, "", file.close)
    over = state.st_size - most
    if over <= 0:
        return OpenFile(name, state.st_mtime, _bytes(file, state.st_size, tell), "", file.close)
    file.seek(over)
    return OpenFile(
        name,
        state.st_mtime,
        _from_next_line(_bytes(file, most, tell)),
        f"its first {over} bytes are left out",
        file.close,
    )


def _bytes(file: BinaryIO, most: int, tell: Callable[[str], None]) -> Iterator[bytes]:
    """As many as it had when it was opened: one that grows faster than it is read would never end."""
    with file:
        try:
            while most > 0 and (chunk := file.read(min(CHUNK, most))):
                most -= len(chunk)
                yield chunk
        except OSError as error:
            tell(f"reading failed: {error.strerror}")


def _from_next_line(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        _, newline, rest = chunk.partition(b"\n")
        if newline:
            yield rest
            break
    yield from chunks


def _inside(path: Path, within: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in within)
