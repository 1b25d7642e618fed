"""The code forgives what people mix up and notices every single substitution and swap of neighbours."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import InvalidInput
from pcg.sealing import pairing_code
from pcg.sealing.pairing_code import ALPHABET, LENGTH

CODES = [pairing_code.generate() for _ in range(20)]
IDS = [f"code {number}" for number in range(len(CODES))]
"""codes are random, names of tests must not be"""


def test_shape() -> None:
    for code in CODES:
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){3}[0-9A-HJKMNP-TV-Z]{5}", code)
    assert len(set(CODES)) == len(CODES)


def test_carries_at_least_80_random_bits() -> None:
    assert pairing_code.RANDOM_SYMBOLS * 5 >= 80


@pytest.mark.parametrize("code", CODES, ids=IDS)
def test_every_single_substitution_is_noticed(code: str) -> None:
    plain = pairing_code.parse(code)
    for place in range(LENGTH):
        for symbol in ALPHABET.replace(plain[place], ""):
            with pytest.raises(InvalidInput):
                pairing_code.parse(plain[:place] + symbol + plain[place + 1 :])


@pytest.mark.parametrize("code", CODES, ids=IDS)
def test_every_swap_of_two_different_symbols_is_noticed(code: str) -> None:
    plain = pairing_code.parse(code)
    for first in range(LENGTH):
        for second in range(first + 1, LENGTH):
            if plain[first] == plain[second]:
                continue
            swapped = list(plain)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            with pytest.raises(InvalidInput):
                pairing_code.parse("".join(swapped))


@given(st.sampled_from(CODES), st.randoms(use_true_random=False))
def test_forgives_case_blanks_hyphens_and_look_alikes(code: str, random: object) -> None:
    plain = pairing_code.parse(code)
    typed = ""
    for symbol in plain:
        written = random.choice({"0": "0Oo", "1": "1IiLl"}.get(symbol, symbol + symbol.lower()))  # type: ignore[attr-defined]
        typed += written + random.choice(["", "", " ", "-", " – "])  # type: ignore[attr-defined]
    assert pairing_code.parse(typed) == plain


@pytest.mark.parametrize("typed", ["", "ABC", "U" * 20, "*" * 20, CODES[0] + "0", CODES[0][:-1]], ids=range(6))
def test_refuses_without_repeating_what_was_typed(typed: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pairing_code.parse(typed)
    assert caught.value.reason == "pairing-code-mistyped"
    assert len(typed) < 4 or typed not in str(caught.value)


@given(st.text(max_size=60))
def test_anything_typed_is_a_code_or_a_clear_refusal(typed: str) -> None:
    try:
        assert len(pairing_code.parse(typed)) == LENGTH
    except InvalidInput as error:
        assert error.remedy


def test_the_key_depends_on_the_code_alone() -> None:
    assert bytes(pairing_code.signing_key(CODES[0])) == bytes(pairing_code.signing_key(CODES[0].lower()))
    assert bytes(pairing_code.signing_key(CODES[0])) != bytes(pairing_code.signing_key(CODES[1]))
