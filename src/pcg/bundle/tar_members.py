"""The members of a tar stream, one after the other, without seeking and without keeping them. Used by the archive
reader.

`tarfile` keeps every member it saw, reads extended headers of any size into memory, and gives up a truncated member
whole; an archive from a stranger must cost nothing and a truncated one must give what it has.
Format: POSIX.1-1988 ustar, GNU long names (types L and K), POSIX.1-2001 (pax) paths and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

_BLOCK = 512
_LARGEST_HEADER = 64 * 1024
_KINDS = {"1": "a hard link", "2": "a link", "3": "a device", "4": "a device", "6": "a pipe", "S": "a sparse file"}


@dataclass(frozen=True)
class TarMember:
    name: str
    size: int
    modified: float
    refused: str
    """why its content is not read: not a plain file; empty for a plain one"""
    chunks: Iterator[bytes]
    """to be read, in part or whole, before the next member is asked for"""


def looks_like_tar(head: bytes) -> bool:
    return len(head) >= _BLOCK and _checksum_holds(head[:_BLOCK])


def tar_members(chunks: Iterator[bytes], tell: Callable[[str], None]) -> Iterator[TarMember]:
    """Folders are left out. `tell` says where the stream ended before its end mark, or was damaged."""
    source = _Source(chunks)
    long_name, extended = "", dict[str, str]()
    while header := source.take(_BLOCK):
        if len(header) < _BLOCK:
            tell("the archive ends early, within a header; what came before it was read")
            return
        if not header.strip(b"\0"):
            return
        if not _checksum_holds(header):
            tell("the archive is damaged from here on; what came before it was read")
            return
        kind, size = chr(header[156]), _number(header[124:136])
        if kind in "LKxg":
            if size > _LARGEST_HEADER:
                tell(f"an extended header of {size} bytes was refused; the rest is not read")
                return
            content = source.take(_padded(size))[:size]
            if kind == "L":
                long_name = _text(content.rstrip(b"\0"))
            elif kind == "x":
                extended = _pax(content)
            continue
        name = extended.get("path") or long_name or _ustar_name(header)
        if extended.get("size", "").isdecimal():
            size = int(extended["size"][:18])
        long_name, extended = "", {}
        data = _Content(source, size)
        if kind != "5":
            refused = "" if kind in "0\x007" else f"{_KINDS.get(kind, 'of an unknown kind')}; not followed"
            yield TarMember(name, size, float(_number(header[136:148])), refused, data.chunks())
        data.skip()
        if data.short:
            tell(f"the archive ends early, within {name}; what came before it was read")
            return
    tell("the archive ends without its end mark; it may be cut off")


class _Source:
    """Exactly as many bytes as asked for, from chunks of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def some(self, most: int) -> bytes:
        """Between one and `most` bytes; nothing at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:most], self._rest[most:]
        return bytes(taken)

    def take(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self.some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class _Content:
    """One member's bytes, then its padding."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source = source
        self._left = size
        self._padding = _padded(size) - size
        self.short = False

    def chunks(self) -> Iterator[bytes]:
        while self._left > 0:
            part = self._source.some(self._left)
            if not part:
                self.short = True
                return
            self._left -= len(part)
            yield part

    def skip(self) -> None:
        for _ in self.chunks():
            continue
        if not self.short:
            self._source.take(self._padding)


def _padded(size: int) -> int:
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _checksum_holds(header: bytes) -> bool:
    total = sum(header) - sum(header[148:156]) + 8 * 32
    return header[148:156].strip(b" \0") != b"" and _number(header[148:156]) == total


def _number(octal: bytes) -> int:
    """Octal digits, or GNU's binary form (first bit set); 0 for anything else."""
    if octal[0] == 0x80:
        return min(int.from_bytes(octal[1:], "big"), 1 << 62)
    digits = octal.strip(b" \0")
    return int(digits, 8) if digits and all(digit in b"01234567" for digit in digits) else 0


def _ustar_name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0")[0])
    prefix = _text(header[345:500].split(b"\0")[0]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _pax(content: bytes) -> dict[str, str]:
    """Records of the form `length key=value\\n`."""
    records = dict[str, str]()
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(content):
            break
        record = content[len(length) + 1 : int(length)].rstrip(b"\n")
        key, _, value = record.partition(b"=")
        records[_text(key)] = _text(value)
        content = content[int(length) :]
    return records


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
