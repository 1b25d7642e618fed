"""Writes a bundle: tar in gzip, one member after the other, in a file of mode 0600 that gets its name when it is whole.

Tar wants a member's size before its bytes, and redaction changes it: each member waits in an unnamed temporary file
beside the bundle, so that neither members nor bundles are ever held in memory. Used by `collecting.py`, `redacting.py`.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import pcg
from pcg.bundle.limits import MEBIBYTE, LimitReached
from pcg.bundle.manifest import MOST_ITEMS, NAME, Item, Manifest, short
from pcg.bundle.packed_tar import PackedTar
from pcg.bundle.redaction import Redactor
from pcg.errors import Conflict, ResourcesMissing, SetupMissing

_IN_MEMORY = 256 * 1024
"""of a member; a larger one waits on disk"""
_SMALLEST = 1024
"""packed; less room is none"""


class BundleWriter:
    """`most_bytes`: unpacked, of all members; `most_packed`: of the file. Close it in any case: until `finish` there is
    only a temporary file, which `close` removes."""

    def __init__(
        self,
        path: Path,
        redactor: Redactor,
        now: datetime,
        *,
        most_bytes: int,
        most_packed: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.left = most_bytes
        self._redactor = redactor
        self._now = now
        self._most_packed = most_packed
        self._monotonic = monotonic
        self.items: list[Item] = []
        self._more = 0
        self._names = {NAME}
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._file = os.fdopen(descriptor, "w+b")
        self._tar = PackedTar(self._file, int(now.timestamp()))

    def skip(self, name: str, source: str, reason: str) -> None:
        self._list(
            Item(name=self._redactor.name(short(name)), source=self._source(source), skipped=self._reason(reason))
        )

    def add(
        self,
        name: str,
        source: str,
        chunks: Iterable[bytes],
        *,
        modified: float,
        most: int | None = None,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """One member: redacted, cut at `most` bytes. `note`, asked afterwards, says what
        else of it is missing.

        Raises LimitReached when nothing more may be added, ResourcesMissing when the disk is full.
        """
        began, told = self._monotonic(), list[str]()
        shown = self._free_name(self._redactor.name(name))
        most = min(self.left, most if most is not None else self.left)
        if most <= 0 or self._tar.size >= self._most_packed:
            self.skip(name, source, "the bundle is full")
            raise LimitReached("the bundle is full")
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.path.parent)) as waiting:
                size, cut = 0, False
                reached: LimitReached | None = None
                try:
                    for chunk in self._redactor.text(iter(chunks), told.append):
                        waiting.write(chunk[: most - size])
                        size += min(len(chunk), most - size)
                        if size >= most:
                            cut = True
                            break
                except LimitReached as limit:
                    # What was read before it counts.
                    reached = limit
                    told.append(limit.what)
                missing = [
                    *told,
                    *([note()] if note() else []),
                    *(["longer than its limit; the rest is not in"] if cut else []),
                ]
                if not size and missing:
                    self.skip(name, source, "; ".join(missing))
                    if reached is not None:
                        raise reached
                    return
                member = tarfile.TarInfo(shown)
                member.size, member.mode = size, 0o600
                member.mtime = int(min(max(modified, 0), 1 << 33))
                self._pack(member, cast(BinaryIO, waiting))
                if member.size < size:
                    size, reached = member.size, LimitReached("the bundle is full")
                    missing.append("the bundle is full; its beginning is not in")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.left -= size
        seconds = round(self._monotonic() - began, 3)
        self._list(
            Item(
                name=shown,
                source=self._source(source),
                bytes=size,
                seconds=seconds,
                truncated=self._reason("; ".join(missing)),
            )
        )
        if reached is not None:
            raise reached

    def finish(self) -> Manifest:
        """With the manifest, under its name. Raises Conflict where a file has that name already."""
        manifest = Manifest(
            made_at=self._now,
            made_by=f"pcg {pcg.__version__}",
            pseudonyms=self._redactor.pseudonyms is not None,
            items=self.items,
            more=self._more,
        )
        text = manifest.model_dump_json(indent=2).encode()
        member = tarfile.TarInfo(NAME)
        member.size, member.mode, member.mtime = len(text), 0o600, int(self._now.timestamp())
        try:
            self._tar.add(member, io.BytesIO(text))
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            # A link, unlike a rename, never takes the place of a file that is there.
            os.link(self._temporary, self.path)
        except FileExistsError as error:
            raise Conflict(
                f"There is a file {self.path} already.",
                "bundle-exists",
                remedy=["Move it away, or give another folder."],
            ) from error
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return manifest

    def _pack(self, member: tarfile.TarInfo, content: BinaryIO) -> None:
        """Cuts a member that would let the file grow beyond what it may have: off its beginning, for the newest lines
        tell most, and to nothing when there is no room."""
        before, whole = self._tar.size, member.size
        while True:
            content.seek(whole - member.size)
            if member.size < whole:
                member.size -= len(content.readline(member.size))  # from the beginning of a line
            self._tar.add(member, content)
            used, room = self._tar.size - before, self._most_packed - before
            if used <= room or not member.size:
                return
            self._tar.take_back(before)
            # Nobody knows how much of it fits; a tenth less than by the ratio of the whole does, nearly always.
            member.size = int(member.size * room / used * 0.9) if room > _SMALLEST else 0

    def close(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _list(self, item: Item) -> None:
        if len(self.items) < MOST_ITEMS:
            self.items.append(item)
        else:
            self._more += 1

    def _source(self, source: str) -> str:
        return self._redactor.name(short(source))

    def _reason(self, reason: str) -> str:
        return self._redactor.name(short(reason))

    def _free_name(self, name: str) -> str:
        """Two names may become one by unpacking, or by an archive that has a name twice."""
        free, number = name, 1
        while free in self._names:
            number += 1
            free = f"{name}.again{number}"
        self._names.add(free)
        return free


def _unwritable(path: Path, error: OSError) -> SetupMissing | ResourcesMissing:
    evidence = [f"{path.parent}: {error.strerror or error}"]
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return ResourcesMissing(
            "There is no room for the bundle.",
            "disk-full",
            evidence,
            remedy=[f"Make room, or give another folder; at most {512 * MEBIBYTE >> 20} MiB are needed."],
            fields={"resource": "disk", "where": str(path.parent)},
        )
    return SetupMissing(
        f"The bundle {path} cannot be written.",
        "bundle-not-written",
        evidence,
        remedy=["Give a folder that this user may write to."],
    )
