"""A block that lies within larger memory is as one that has its bytes to itself."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pcg.diagnosis import log_blocks
from pcg.diagnosis.log_blocks import Block
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_prefilter import line_at

FILE = log_file("var/log/syslog")
LINES = st.lists(st.sampled_from([b"\n", b"a\n", b"bbbbbb\n", b"c" * 40 + b"\n"]), min_size=1, max_size=30)
AROUND = st.sampled_from([b"", b"\n", b"x", b"x\ny", b"\n\n"])


@given(pieces=LINES, last=st.sampled_from([b"", b"end"]), before=AROUND, behind=AROUND, most=st.integers(1, 90))
def test_lines_and_their_numbers(pieces: list[bytes], last: bytes, before: bytes, behind: bytes, most: int) -> None:
    data = b"".join(pieces) + last
    block = Block(FILE, 7, before + data + behind, len(before), len(data))
    assert block.text(0, block.size) == data
    assert [block.line_at(place) for place in range(len(data))] == list(map(partial(line_at, data), range(len(data))))
    assert block.lines == data.count(b"\n")
    starts = {block.line_at(place)[0] for place in range(len(data))}
    assert {start: block.number(start) for start in starts} == {at: 7 + data[:at].count(b"\n") for at in starts}
    parts = list(block.pieces(most))
    assert b"".join(part.text(0, part.size) for _, part in parts) == data
    assert all(at == 0 or data[at - 1 : at] == b"\n" for at, _ in parts)
    assert [part.first_line for _, part in parts] == [block.number(at) for at, _ in parts]


def test_far_lines_are_counted_by_pieces() -> None:
    data = b"".join(b"%d\n" % number for number in range(60_000))
    block = Block.of(FILE, 1, data)
    assert len(data) > 5 * log_blocks._PIECE
    for number in (0, 1, 29_999, 59_999):
        assert block.number(data.index(b"\n%d\n" % number) + 1 if number else 0) == number + 1
