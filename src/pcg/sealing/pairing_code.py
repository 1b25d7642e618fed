"""The pairing code: made by the console, typed by a person, checked before any network call.

Crockford's base32 (https://www.crockford.com/base32.html) without his optional symbols `* ~ $ = U`: 18 random symbols
(90 bits) and 2 check symbols, shown as four groups of five. The check symbols are those of a Reed-Solomon code over
GF(32) with generator (x + 1)(x + a): its distance is 3, so every one or two wrong symbols are noticed, and a swap of
two neighbours is two wrong symbols.

Only a key derived from the code is ever used: the console keeps the public half and the code never crosses the wire.
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.signing import SigningKey

from pcg.errors import InvalidInput

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_SYMBOLS = 18
CHECK_SYMBOLS = 2
LENGTH = RANDOM_SYMBOLS + CHECK_SYMBOLS
GROUP = 5

_VALUE = {symbol: value for value, symbol in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}


def _multiply(left: int, right: int) -> int:
    """Product in GF(32) modulo x^5 + x^2 + 1 (primitive)."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left & 32:
            left ^= 0b100101
        right >>= 1
    return product


_POWERS = [1]
for _ in range(LENGTH - 1):
    _POWERS.append(_multiply(_POWERS[-1], 2))


def _syndromes(values: list[int]) -> tuple[int, int]:
    """Both are zero exactly for a codeword (first symbol = highest power)."""
    plain = weighted = 0
    for power, value in enumerate(reversed(values)):
        plain ^= value
        weighted ^= _multiply(_POWERS[power], value)
    return plain, weighted


def _checks(values: list[int]) -> list[int]:
    """The two symbols that make `values` a codeword: solve high + low = s0, 2·high + low = s1."""
    plain, weighted = _syndromes([*values, 0, 0])
    # Adding both equations gives 3·high = s0 + s1; the inverse of 3 in GF(32) is found by trying, once.
    inverse = next(candidate for candidate in range(32) if _multiply(3, candidate) == 1)
    high = _multiply(inverse, plain ^ weighted)
    return [high, plain ^ high]


def generate() -> str:
    """A new code as it is shown: `XXXXX-XXXXX-XXXXX-XXXXX`."""
    values = [secrets.randbelow(32) for _ in range(RANDOM_SYMBOLS)]
    return show("".join(ALPHABET[value] for value in [*values, *_checks(values)]))


def show(code: str) -> str:
    """Groups of five, joined by hyphens."""
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))


def parse(typed: str) -> str:
    """The code without hyphens, in capitals. O, I, L, case, blanks and hyphens are forgiven.

    Raises InvalidInput (reason `pairing-code-mistyped`), never with the code in its text.
    """
    symbols = [symbol for symbol in typed.upper() if symbol not in "- \t\r\n\u00a0\u2010\u2011\u2012\u2013\u2014"]
    values = []
    for place, symbol in enumerate(symbols, start=1):
        if symbol not in _VALUE:
            raise _mistyped(f"symbol {place} is not one of the letters and digits that codes are made of")
        values.append(_VALUE[symbol])
    if len(values) != LENGTH:
        raise _mistyped(f"a code has {LENGTH} symbols, this one {len(values)}")
    if _syndromes(values) != (0, 0):
        raise _mistyped("its check symbols do not fit: at least one symbol is wrong or two are swapped")
    return "".join(ALPHABET[value] for value in values)


def signing_key(code: str) -> SigningKey:
    """The key that proves knowledge of the code. 90 random bits need no slow hash (RFC 5869 extract and expand)."""
    seed = HKDF(SHA256(), length=32, salt=b"pcg pairing code", info=b"ed25519 seed v1").derive(parse(code).encode())
    return SigningKey(seed)


def _mistyped(why: str) -> InvalidInput:
    return InvalidInput(
        f"The pairing code was mistyped: {why}.",
        reason="pairing-code-mistyped",
        field_name="pairing-code",
        remedy=["Type the code again as the console shows it; O, I, L, case, blanks and hyphens do not matter."],
    )
