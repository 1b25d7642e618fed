"""A block of whole log lines: where its lines begin and end, and their numbers. For the scanner (`log_scan`)."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

from pcg.diagnosis.log_files import LogFile

if find_spec("stringzilla") is not None:
    # A quarter of the time; in logs by the gigabyte lines are counted, if nothing else.
    import stringzilla

    _count: Callable[[memoryview, bytes], int] = stringzilla.count
else:

    def _count(block: memoryview, what: bytes) -> int:
        return bytes(block).count(what)


_PIECE = 1 << 16
"""bytes of a block whose lines are counted once"""


@dataclass(frozen=True)
class Block:
    """It may lie in memory that another process searches meanwhile. Places count from its begin."""

    file: LogFile
    first_line: int
    memory: bytes | mmap.mmap
    base: int
    """where in that it begins"""
    size: int

    @classmethod
    def of(cls, file: LogFile, first_line: int, data: bytes) -> Block:
        return cls(file, first_line, data, 0, len(data))

    def text(self, start: int, end: int) -> bytes:
        return self.memory[self.base + start : self.base + end]

    def line_at(self, place: int) -> tuple[int, int]:
        """Start and end of the line; a newline is of the line that it ends."""
        base = self.base
        start = self.memory.rfind(b"\n", base, base + place) + 1 or base
        end = self.memory.find(b"\n", base + place, base + self.size)
        return start - base, end - base if end >= 0 else self.size

    @cached_property
    def lines(self) -> int:
        """How many end in it."""
        return sum(self._newlines)

    def number(self, start: int) -> int:
        """Of the line that begins there."""
        piece = start // _PIECE
        return self.first_line + sum(self._newlines[:piece]) + self.between(piece * _PIECE, start)

    def between(self, start: int, end: int) -> int:
        """How many lines end there."""
        with memoryview(self.memory) as memory, memory[self.base + start : self.base + end] as part:
            return _count(part, b"\n")

    def pieces(self, most: int) -> Iterator[tuple[int, Block]]:
        """Blocks of at most so many bytes, but where a line has more, and where each begins in this one."""
        data, at, number = self.text(0, self.size), 0, self.first_line
        while at < self.size:
            piece = Block.of(self.file, number, piece_at(data, at, most))
            yield at, piece
            at += piece.size
            number += piece.lines

    @cached_property
    def _newlines(self) -> list[int]:
        return [self.between(at, min(at + _PIECE, self.size)) for at in range(0, self.size, _PIECE)]


def piece_at(data: bytes, at: int, most: int) -> bytes:
    """The lines from there on, no more than so many bytes of them, but where the first alone has more."""
    return data[at : data.rfind(b"\n", at, at + most) + 1 or data.find(b"\n", at) + 1 or len(data)]
