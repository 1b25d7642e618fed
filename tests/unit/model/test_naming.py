"""Names are valid node names, differ where they must, and repeat where they must."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pcg.model import naming


@given(st.uuids(), st.text(max_size=80), st.integers(1, 99999), st.integers(1, 99999))
def test_a_name_is_a_dns_label(gateway: object, name: str, incarnation: int, ordinal: int) -> None:
    made = naming.machine_name(str(gateway), name, incarnation, ordinal)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", made)


def test_the_same_inputs_give_the_same_and_others_another() -> None:
    assert naming.instance_uuid("g", 1, 1) == naming.instance_uuid("g", 1, 1)
    seen = {naming.instance_uuid(g, i, o) for g in "ab" for i in (1, 2) for o in (1, 2)}
    assert len(seen) == 8


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_marks_round_trip(incarnation: int, ordinal: int) -> None:
    assert naming.parse_machine_mark(naming.machine_mark(incarnation, ordinal)) == (incarnation, ordinal)


@given(st.text(max_size=20))
def test_a_strangers_mark_is_none_or_numbers(mark: str) -> None:
    parsed = naming.parse_machine_mark(mark)
    assert parsed is None or all(number >= 0 for number in parsed)
