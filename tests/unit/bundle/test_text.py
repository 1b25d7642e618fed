"""Blocks of whole lines: the same text however it came in chunks and however large the blocks are to be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.bundle.limits import LimitReached
from pcg.bundle.text import text_blocks

_LINES = st.lists(st.sampled_from([b"\n", b"a line\n", b"b" * 40 + b"\n", b"c" * 70, b"d", b"e" * 200 + b"\n"]))


@given(_LINES, st.integers(1, 90), st.integers(0, 400))
def test_chunks_and_blocks_of_any_size(pieces: list[bytes], size: int, block: int) -> None:
    """Lines longer than 64 bytes keep their beginning."""
    data = b"".join(pieces)
    told = list[str]()
    blocks = list(text_blocks(_chunks(data, size), 64, told.append, block))
    assert b"".join(blocks) == b"\n".join(line[:64] for line in data.split(b"\n"))
    assert all(one.endswith(b"\n") for one in blocks[:-1])
    cut = sum(len(line) > 64 for line in data.split(b"\n"))
    assert told == ([f"{cut} lines longer than 0 KiB were cut there"] if cut else [])


def test_what_was_gathered_before_a_limit_is_given() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one\n" * 300
        yield b"two\nthr"
        raise LimitReached("enough")

    given = list[bytes]()
    with pytest.raises(LimitReached):
        for block in text_blocks(chunks(), 64, print, 1 << 20):
            given.append(block)
    assert b"".join(given) == b"one\n" * 300 + b"two\n"


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    return iter([data[at : at + size] for at in range(0, len(data), size)])
