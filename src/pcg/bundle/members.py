"""The log files of a folder, an archive or a single file, one after the other, as streams of bytes. Nothing is written
to disk and no link is followed out of what was given. `pcg.bundle.reading` goes through them.

What cannot be read, in whole or in part, is told with its reason and never ends the reading.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pcg.bundle.limits import Budget
from pcg.bundle.tar_members import TarMember, looks_like_tar, tar_members
from pcg.bundle.unpacking import CHUNK, READABLE, packing_of, unpack

_MOST_TOLD = 200
_LOGS_RATIO = 8
"""unpacked by packed bytes"""


@dataclass(frozen=True)
class Member:
    name: str
    """its path within what was given"""
    modified: float
    """seconds since 1970; 0 when unknown"""
    chunks: Iterator[bytes]


@dataclass
class Unread:
    """What could not be read and why; bounded, the rest is counted."""

    items: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0
    incomplete: bool = False
    """log lines may be missing: something was cut off, damaged or beyond a limit"""

    def add(self, name: str, reason: str, *, incomplete: bool = False) -> None:
        self.incomplete = self.incomplete or incomplete
        if len(self.items) < _MOST_TOLD:
            self.items.append((name[:512], reason[:512]))
        else:
            self.more += 1


def expected_bytes(path: Path) -> int:
    """About how many a file or archive unpacks to, so that what takes a while can be made ready; 0 where its size does
    not tell."""
    try:
        if not path.is_file():
            return 0
        with os.fdopen(_open(path), "rb", buffering=0) as file:
            packed = packing_of(file.read(512))
            return os.fstat(file.fileno()).st_size * (_LOGS_RATIO if packed else 1)
    except OSError:
        return 0


class MemberReader:
    """Walks once over `path`. Iterate `members()`, then look at `unread`."""

    def __init__(self, path: Path, budget: Budget, unread: Unread) -> None:
        self._path = path
        self._budget = budget
        self._unread = unread

    def members(self) -> Iterator[Member]:
        """Raises OSError when `path` itself cannot be opened; LimitReached ends the walk and is told by the caller."""
        if self._path.is_dir():
            for name, path in _walk(self._path, self._unread):
                self._budget.next_member()
                try:
                    file_descriptor = _open(path)
                except OSError as error:
                    self._unread.add(name, f"cannot be opened: {error.strerror}", incomplete=True)
                    continue
                yield from self._opened(file_descriptor, name)
        else:
            yield from self._opened(_open(self._path), self._path.name)

    def _opened(self, file_descriptor: int, name: str) -> Iterator[Member]:
        with os.fdopen(file_descriptor, "rb", buffering=0) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                self._unread.add(name, "not a plain file; not opened")
                return
            chunks = self._told_when_failing(iter(lambda: file.read(CHUNK), b""), name)
            yield from self._contents(name, state.st_mtime, chunks, within_archive=False)

    def _contents(
        self, name: str, modified: float, chunks: Iterator[bytes], *, within_archive: bool
    ) -> Iterator[Member]:
        """A file as it is, unpacked, or, when it is an archive, its members."""

        def tell(reason: str) -> None:
            self._unread.add(name, reason, incomplete=True)

        head, chunks = _peek(chunks)
        packing = packing_of(head)
        if packing and packing not in READABLE:
            self._unread.add(name, f"packed by {packing}, which is not read here", incomplete=True)
            return
        if packing:
            head, chunks = _peek(self._spent(unpack(chunks, packing, self._budget, tell)))
        elif not within_archive:
            chunks = self._spent(chunks)
        if looks_like_tar(head):
            if within_archive:
                self._unread.add(name, "an archive within an archive; not opened")
                return
            inside = "" if self._path.is_file() else f"{name}:"
            for entry in tar_members(chunks, tell):
                yield from self._entry(entry, inside)
            for _ in chunks:
                continue  # to its end, so that a packing which was cut off behind the last member is told
        elif packing and packing_of(head):
            self._unread.add(name, "packed more than once; not opened")
        else:
            yield Member(name, modified, self._bounded(chunks, name))

    def _entry(self, entry: TarMember, inside: str) -> Iterator[Member]:
        self._budget.next_member()
        name = inside + _harmless(entry.name)
        if entry.refused:
            self._unread.add(name, entry.refused)
            return
        if ".." in entry.name.split("/"):
            self._unread.add(name, "its path led out of the archive; read under this name, nothing was written")
        yield from self._contents(name, entry.modified, entry.chunks, within_archive=True)

    def _spent(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._budget.spend(len(chunk))
            yield chunk

    def _bounded(self, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
        left = self._budget.limits.member_bytes
        for chunk in chunks:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                self._unread.add(name, "longer than the limit of one file; the rest is not read", incomplete=True)
                return

    def _told_when_failing(self, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
        try:
            yield from chunks
        except OSError as error:
            self._unread.add(name, f"reading failed: {error.strerror}", incomplete=True)


def _open(path: Path) -> int:
    """Without waiting for the other end of a pipe."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _walk(root: Path, unread: Unread) -> Iterator[tuple[str, Path]]:
    """Plain files by name; a link counts when it leads to one inside `root`, as /var/log/containers has them."""
    real_root = root.resolve()
    for folder, folders, files in os.walk(root, followlinks=False, onerror=_teller(root, unread)):
        folders.sort()
        for linked in [name for name in folders if (Path(folder) / name).is_symlink()]:
            unread.add(str((Path(folder) / linked).relative_to(root)), "a link to a folder; not followed")
        for file in sorted(files):
            path = Path(folder) / file
            name = str(path.relative_to(root))
            if path.is_symlink():
                try:
                    target = path.resolve(strict=True)
                except (OSError, RuntimeError):
                    unread.add(name, "a link that leads nowhere")
                    continue
                if not target.is_relative_to(real_root):
                    unread.add(name, "a link that leads out of the folder; not followed")
                    continue
                if not stat.S_ISREG(target.stat().st_mode):
                    unread.add(name, "not a plain file; not opened")
                    continue
            yield name, path


def _teller(root: Path, unread: Unread) -> Callable[[OSError], None]:
    def tell(error: OSError) -> None:
        path = Path(str(error.filename))
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        unread.add(name, f"cannot be listed: {error.strerror}", incomplete=True)

    return tell


def _peek(chunks: Iterator[bytes], size: int = 512) -> tuple[bytes, Iterator[bytes]]:
    """The beginning, and all of it again. For an empty stream, nothing."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= size:
            break

    def again() -> Iterator[bytes]:
        if first:
            yield first
        yield from chunks

    return first[:size], again()


def _harmless(name: str) -> str:
    """Without a leading slash, `.` or `..`: only a name, as nothing is ever written."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", "..")) or "unnamed"
