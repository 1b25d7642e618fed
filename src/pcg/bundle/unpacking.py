"""Bytes out of gzip, xz and bzip2 streams, in chunks, as far as the stream is sound. Used by the archive reader.

The standard library's file objects raise at the first fault and lose what was unpacked before it; here it is kept, and
the fault is told. Nothing larger than a chunk is ever held. gzip is inflated by ISA-L where its package is: the same
interface as zlib, more than twice as fast.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from pcg.bundle.limits import Budget

_inflater: Any = zlib
if find_spec("isal") is not None:
    from isal import isal_zlib

    _inflater = isal_zlib

CHUNK = 256 * 1024
_UNPACKED = 4 * CHUNK
"""What is left of a packed chunk is copied for each of these, so they are larger."""
_XZ_MEMORY = 64 << 20
_MAGIC = {
    "gzip": b"\x1f\x8b",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
    "zip": b"PK\x03\x04",
    "zstd": b"\x28\xb5\x2f\xfd",
    "7-Zip": b"7z\xbc\xaf\x27\x1c",
}
READABLE = ("gzip", "xz", "bzip2")


def packing_of(head: bytes) -> str:
    """How something that begins like this is packed; empty for what is not. Only READABLE ones can be unpacked."""
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "")


def unpack(chunks: Iterator[bytes], packing: str, budget: Budget, tell: Callable[[str], None]) -> Iterator[bytes]:
    """The unpacked bytes; `tell` says how the stream ended early. Several streams in a row are one, as gzip has it."""
    make: Callable[[], _Gzip | _Other] = _Gzip if packing == "gzip" else lambda: _Other(packing)
    stream, packed, unpacked = make(), 0, 0
    try:
        for chunk in chunks:
            packed += len(chunk)
            data = chunk
            while data:
                if stream.eof:
                    if not _MAGIC[packing].startswith(data[:2]) and not data.startswith(_MAGIC[packing][:2]):
                        return  # padding after the last stream
                    stream = make()
                for out in stream.pump(data):
                    unpacked += len(out)
                    if budget.too_dense(packed, unpacked):
                        tell(f"unpacks to more than {budget.limits.ratio} times its size; the rest is not read")
                        return
                    yield out
                data = stream.unused
        if not stream.eof:
            tell(f"the {packing} stream ends early; what came before it was read")
    except (_inflater.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        tell(f"the {packing} stream is damaged ({error}); what came before it was read")


class _Gzip:
    def __init__(self) -> None:
        self._inner = _inflater.decompressobj(wbits=31)

    def pump(self, data: bytes) -> Iterator[bytes]:
        while data:
            if out := self._inner.decompress(data, _UNPACKED):
                yield out
            data = self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused(self) -> bytes:
        return bytes(self._inner.unused_data)


class _Other:
    def __init__(self, packing: str) -> None:
        self._inner = bz2.BZ2Decompressor() if packing == "bzip2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def pump(self, data: bytes) -> Iterator[bytes]:
        while True:
            if out := self._inner.decompress(data, CHUNK):
                yield out
            data = b""
            if self._inner.eof or self._inner.needs_input:
                return

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data
