"""ISA-L and zlib unpack the same, sound streams and others."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.bundle import unpacking
from pcg.bundle.limits import Budget, Limits


def _unpacked(packed: bytes, inflater: object) -> tuple[bytes, bool]:
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpacking, "_inflater", inflater)
        pieces = (packed[at : at + 1000] for at in range(0, len(packed), 1000))
        data = b"".join(unpacking.unpack(pieces, "gzip", Budget(Limits()), told.append))
    return data, not told


@pytest.mark.parametrize("inflater", [unpacking._inflater, zlib])
@given(texts=st.lists(st.binary(max_size=5000), min_size=1, max_size=3), padding=st.sampled_from([b"", b"\0" * 512]))
def test_streams_in_a_row_are_one(inflater: object, texts: list[bytes], padding: bytes) -> None:
    packed = b"".join(gzip.compress(text) for text in texts) + padding
    assert _unpacked(packed, inflater) == (b"".join(texts), True)


@pytest.mark.parametrize("inflater", [unpacking._inflater, zlib])
@given(text=st.binary(min_size=100, max_size=5000), cut=st.integers(min_value=2, max_value=60))
def test_what_came_before_the_end_is_read(inflater: object, text: bytes, cut: int) -> None:
    data, sound = _unpacked(gzip.compress(text)[:-cut], inflater)
    assert text.startswith(data)
    assert not sound


@pytest.mark.parametrize("inflater", [unpacking._inflater, zlib])
@given(
    text=st.binary(min_size=100, max_size=5000), place=st.integers(min_value=20, max_value=90), by=st.integers(1, 255)
)
def test_damage_is_told(inflater: object, text: bytes, place: int, by: int) -> None:
    packed = bytearray(gzip.compress(text))
    packed[place] ^= by
    data, sound = _unpacked(bytes(packed), inflater)
    assert not sound or data == text
