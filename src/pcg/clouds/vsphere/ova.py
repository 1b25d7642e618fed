"""An OVA read as a stream: a tar archive with the OVF descriptor first, in bounded memory and with no copy on disk.

Used by `images.py`. The archive comes from elsewhere, so nothing in it is trusted: names, sizes and the descriptor are
bounded, and no name ever becomes a path here.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

BLOCK = tarfile.BLOCKSIZE
MAXIMUM_MEMBERS = 200
MAXIMUM_MEMBER_BYTES = 1 << 40
MAXIMUM_TRAILING_BYTES = 1024 * 1024
"""after the archive's end; tar pads to a few blocks, and a source that never ends must not hold a lease for ever"""
MAXIMUM_EXTENSION_BYTES = 64 * 1024
"""of a long name or a pax header; both hold a few hundred bytes"""
MAXIMUM_MANIFEST_BYTES = 256 * 1024
MAXIMUM_DESCRIPTOR_BYTES = 2 * 1024 * 1024
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_MANIFEST_LINE = re.compile(
    r"(SHA1|SHA256|SHA512)\s*\(([^()\r\n]{1,255})\)\s*=\s*([0-9a-fA-F]{40,128})\s*", re.IGNORECASE
)
_PAX = re.compile(rb"[1-9][0-9]{0,4} (path|size)=([^\n]{1,1000})\n")


class MalformedOva(Exception):
    """What is wrong, as half a sentence."""


@dataclass(frozen=True)
class Member:
    name: str
    size: int


class OvaReader:
    """`sha256` is of every byte that was read so far, `position` their number."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = memoryview(b"")
        self._left = 0
        """of the present member"""
        self._padding = 0
        self._members = 0
        self._digest = hashlib.sha256()
        self.position = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def next(self) -> Member | None:
        """The next file; what was not read of the last one is passed over. None at the archive's end."""
        await self._pass_over()
        name, size = "", None
        while True:
            block = await self._exactly(BLOCK)
            if not any(block):
                return None
            header = _header(block)
            self._members += 1
            if self._members > MAXIMUM_MEMBERS:
                raise MalformedOva(f"the archive has more than {MAXIMUM_MEMBERS} members")
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
                text = await self._extension(header.size)
                if header.type == tarfile.GNUTYPE_LONGNAME:
                    name = text.rstrip(b"\0").decode(errors="replace")
                elif header.type != tarfile.XGLTYPE:
                    name, size = _pax(text, name, size)
                continue
            if header.type not in _REGULAR:
                raise MalformedOva("it holds something that is no regular file")
            member = Member(_plain(name or header.name), header.size if size is None else size)
            if member.size > MAXIMUM_MEMBER_BYTES:
                raise MalformedOva("a member of the archive is larger than any disk")
            self._left, self._padding = member.size, -member.size % BLOCK
            return member

    async def content(self) -> AsyncIterator[bytes]:
        """The present member's bytes, piece by piece."""
        while self._left:
            piece = await self._some(self._left)
            self._left -= len(piece)
            yield piece

    async def read(self, limit: int) -> bytes:
        """The present member whole. Raises MalformedOva when it is larger than `limit` bytes."""
        if self._left > limit:
            raise MalformedOva(f"its descriptor or manifest is larger than {limit} bytes")
        found = bytearray()
        async for piece in self.content():
            found += piece
        return bytes(found)

    async def finish(self) -> None:
        """To the end of the stream, so that `sha256` is that of the whole file."""
        ended = self.position
        while await self._more():
            if self.position - ended > MAXIMUM_TRAILING_BYTES:
                raise MalformedOva("it does not stop at the archive's end")
        self._buffer = memoryview(b"")

    async def _pass_over(self) -> None:
        left, self._left = self._left + self._padding, 0
        self._padding = 0
        while left:
            left -= len(await self._some(left))

    async def _extension(self, size: int) -> bytes:
        if size > MAXIMUM_EXTENSION_BYTES:
            raise MalformedOva("a header of the archive is too large")
        text = await self._exactly(size)
        await self._exactly(-size % BLOCK)
        return text

    async def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            found += await self._some(size - len(found))
        return bytes(found)

    async def _some(self, most: int) -> bytes:
        if not self._buffer and not await self._more():
            raise MalformedOva("it ends too early")
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return bytes(piece)

    async def _more(self) -> bool:
        async for piece in self._pieces:
            if piece:
                self._digest.update(piece)
                self.position += len(piece)
                self._buffer = memoryview(piece)
                return True
        return False


def parse_manifest(text: bytes) -> dict[str, tuple[str, str]]:
    """Algorithm (sha1, sha256, sha512) and hexadecimal sum by file name."""
    sums = {}
    for line in text.decode(errors="replace").splitlines():
        found = _MANIFEST_LINE.fullmatch(line.strip())
        if found is None:
            if line.strip():
                raise MalformedOva("a line of its manifest cannot be understood")
            continue
        algorithm, name, digest = found[1].lower(), found[2].strip(), found[3].lower()
        if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size * 2:
            raise MalformedOva("a sum of its manifest has the wrong length")
        sums[name] = (algorithm, digest)
    return sums


class Sums:
    """The digests of one member, for a manifest that is known already or comes only later."""

    def __init__(self, name: str, manifest: dict[str, tuple[str, str]] | None) -> None:
        algorithms = (
            ["sha1", "sha256", "sha512"] if manifest is None else [manifest[name][0]] if name in manifest else []
        )
        self._digests = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}

    def update(self, piece: bytes) -> None:
        for digest in self._digests.values():
            digest.update(piece)

    def found(self, algorithm: str) -> str:
        return self._digests[algorithm].hexdigest()


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError as error:
        raise MalformedOva("it is no tar archive") from error
    if header.size < 0:
        raise MalformedOva("a member of the archive has a negative size")
    return header


def _pax(text: bytes, name: str, size: int | None) -> tuple[str, int | None]:
    for key, value in _PAX.findall(text):
        if key == b"path":
            name = value.decode(errors="replace")
        elif value.isdecimal() and len(value) < 16:
            size = int(value)
        else:
            raise MalformedOva("a member of the archive has no proper size")
    return name, size


def _plain(name: str) -> str:
    """OVF allows plain file names only; a path would be somebody's try."""
    plain = name.removeprefix("./")
    if (
        not plain
        or plain in (".", "..")
        or "/" in plain
        or "\\" in plain
        or not plain.isprintable()
        or len(plain) > 255
    ):
        raise MalformedOva("a member of the archive has a name that is no plain file name")
    return plain
