"""A tar in gzip of which the last member can be taken back: each is a gzip stream of its own, which any reader takes
for one. So a file never grows beyond what it may have, though nobody knows how well a log packs. For `writing.py`.
"""

from __future__ import annotations

import gzip
import tarfile
from typing import BinaryIO

_BLOCK = tarfile.BLOCKSIZE
_PIECE = 256 * 1024
_LEVEL = 6


class PackedTar:
    def __init__(self, file: BinaryIO, modified: int) -> None:
        self._file = file
        self._modified = modified

    @property
    def size(self) -> int:
        return self._file.tell()

    def add(self, member: tarfile.TarInfo, content: BinaryIO) -> None:
        """The content from where it is, as many bytes as the member says."""
        with self._stream() as stream:
            stream.write(member.tobuf(tarfile.PAX_FORMAT))
            left = member.size
            while left and (piece := content.read(min(left, _PIECE))):
                stream.write(piece)
                left -= len(piece)
            stream.write(bytes(left + -member.size % _BLOCK))

    def take_back(self, size: int) -> None:
        """To what it was when it had this size."""
        self._file.seek(size)
        self._file.truncate()

    def close(self) -> None:
        with self._stream() as stream:
            stream.write(bytes(2 * _BLOCK))

    def _stream(self) -> gzip.GzipFile:
        return gzip.GzipFile("", "wb", _LEVEL, self._file, mtime=self._modified)
