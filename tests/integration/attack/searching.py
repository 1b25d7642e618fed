"""How a thief looks for secrets in files, and how a test makes sure that there are none: every encoding in which a
secret would still be one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

_RUN = re.compile(rb"[A-Za-z0-9+/_-]{43,}")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{64,}")

_TRULY_RANDOM = 20
"""different bytes that 32 random ones have at the least, but for one key in a thousand millions"""


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def spellings(secret: bytes) -> set[bytes]:
    """The secret as it is, in hexadecimal, and in base64 of every alignment, without the symbols at its edges."""
    assert len(secret) >= 8, "so short a text is found everywhere"
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret)
        inner = text[(before * 8 + 5) // 6 : len(text) - (4 if text.endswith(b"=") else 0)]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {spelling for spelling in found if len(spelling) >= 8}


def found_in(content: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secret stands in which file, in whatever spelling."""
    return [
        f"{name} in {file}"
        for name, secret in secrets.items()
        for file, data in content.items()
        if any(spelling in data for spelling in spellings(secret))
    ]


def opener_in(content: Mapping[str, bytes], public: bytes, box: bytes) -> PrivateKey | None:
    """Whatever opens `box`, of everything in the files that could be a key: each 32 bytes in a row, and each such in
    hexadecimal and base64."""
    tried: set[bytes] = set()
    for data in content.values():
        for candidate in _candidates(data):
            if candidate in tried or len(set(candidate)) < _TRULY_RANDOM:
                continue
            tried.add(candidate)
            key = PrivateKey(candidate)
            if bytes(key.public_key) == public:
                try:
                    SealedBox(key).decrypt(box)
                except CryptoError:
                    continue
                return key
    assert len(tried) > 100, "nothing was tried"
    return None


def _candidates(data: bytes) -> Iterator[bytes]:
    for start in range(len(data) - 31):
        yield data[start : start + 32]
    for run in _HEXADECIMAL.findall(data):
        for start in range(len(run) - 63):
            yield bytes.fromhex(run[start : start + 64].decode())
    for run in _RUN.findall(data):
        plain = run.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(len(plain) - 42):
            yield base64.b64decode(plain[start : start + 43] + b"=")
