"""The encrypted file of a backup: header, key from a passphrase, authenticated chunks. `console/backup.py` fills it.

    pcg-backup 1\\n               what it is, and the version of this format
    {"kdf": "argon2id", …}\\n     salt and costs; public
    32 bytes                     HMAC-SHA256 over both lines: tells a wrong passphrase from a damaged file
    chunks                       64 KiB each, ChaCha20-Poly1305; the nonce is a counter and a mark on the last one

Chunks can therefore be neither changed, left out, moved nor cut off at the end unnoticed. The key is new with every
file (a new salt), so a counter never meets the same key twice. Why so: docs/decisions/0011-backup-format.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pcg.errors import CredentialsRejected, InvalidInput

VERSION = 1
MINIMUM_PASSPHRASE = 12

_NAME = b"pcg-backup"
_CHUNK = 64 * 1024
_TAG = 16
_HEADER_LIMIT = 4096
# What a stranger's file may make us spend: the header is read before anything is proved.
_MOST_MEMORY_KIB = 2 * 1024 * 1024
_MOST_PASSES = 64
_MOST_LANES = 16


@dataclass(frozen=True)
class Cost:
    """Of Argon2id: a guess takes about half a second and a quarter of a gigabyte."""

    passes: int = 3
    memory_kib: int = 256 * 1024
    lanes: int = 4


def seal(content: Iterable[bytes], passphrase: str, out: BinaryIO, cost: Cost | None = None) -> None:
    """Writes the whole file. Raises InvalidInput for a passphrase that is too short."""
    if len(passphrase) < MINIMUM_PASSPHRASE:
        raise InvalidInput(
            f"The passphrase has fewer than {MINIMUM_PASSPHRASE} characters.",
            reason="passphrase-length",
            field_name="passphrase",
            cause="Whoever finds the file can try passphrases for as long as they like.",
            remedy=["Choose a longer one: a few words will do. Keep it where the backup is not."],
        )
    cost, salt = cost or Cost(), os.urandom(16)
    parameters = {
        "kdf": "argon2id",
        "passes": cost.passes,
        "memory-kib": cost.memory_kib,
        "lanes": cost.lanes,
        "salt": base64.b64encode(salt).decode(),
    }
    header = b"%s %d\n%s\n" % (_NAME, VERSION, json.dumps(parameters).encode())
    proof_key, key = _keys(passphrase, salt, cost)
    out.write(header + hmac.digest(proof_key, header, "sha256"))
    cipher, waiting, number = ChaCha20Poly1305(key), b"", 0
    for part in content:
        waiting += part
        # One byte more must be there: only then is it sure that this chunk is not the last.
        while len(waiting) > _CHUNK:
            out.write(cipher.encrypt(_nonce(number, last=False), waiting[:_CHUNK], None))
            waiting, number = waiting[_CHUNK:], number + 1
    out.write(cipher.encrypt(_nonce(number, last=True), waiting, None))


def unseal(source: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """The content in parts; only who reads to the end knows that nothing is missing.

    Raises CredentialsRejected for a wrong passphrase, InvalidInput for what is no whole backup or a newer one.
    """
    header, parameters = _header(source)
    cost, salt = _parameters(parameters)
    proof = source.read(hashlib.sha256().digest_size)
    proof_key, key = _keys(passphrase, salt, cost)
    if len(proof) < hashlib.sha256().digest_size:
        raise truncated()
    if not hmac.compare_digest(proof, hmac.digest(proof_key, header, "sha256")):
        raise CredentialsRejected(
            "The passphrase does not open this backup.",
            reason="passphrase-wrong",
            cause="It is another passphrase, or the first lines of the file were changed.",
            remedy=["Use the passphrase of the time when the backup was made."],
        )
    cipher, number = ChaCha20Poly1305(key), 0
    present = source.read(_CHUNK + _TAG)
    while True:
        following = source.read(_CHUNK + _TAG)
        yield _opened(cipher, number, present, last=not following)
        if not following:
            return
        present, number = following, number + 1


def truncated() -> InvalidInput:
    return InvalidInput(
        "The backup ends too early.",
        reason="backup-truncated",
        field_name="file",
        cause="It was not copied wholly, or the disk was full.",
        remedy=["Copy the file again and compare its size with the original's, or take another backup."],
    )


def damaged(evidence: str) -> InvalidInput:
    return InvalidInput(
        "The backup is damaged.",
        reason="backup-damaged",
        field_name="file",
        evidence=[evidence],
        cause="Bytes changed since it was made.",
        remedy=["Copy the file again from where it was kept, or take another backup."],
    )


def newer(evidence: str) -> InvalidInput:
    return InvalidInput(
        "The backup was made by a newer pcg than this one.",
        reason="backup-newer",
        field_name="file",
        evidence=[evidence],
        remedy=["Install the version of pcg that made it, or a later one, and restore with that."],
    )


def _header(source: BinaryIO) -> tuple[bytes, bytes]:
    first = source.readline(64)
    name, _, version = first.rstrip(b"\n").partition(b" ")
    if name != _NAME or not version.isdigit():
        raise InvalidInput(
            "This file is not a backup of a console.",
            reason="backup-unknown",
            field_name="file",
            evidence=[f"it begins with {first[:16]!r}"],
            remedy=["Give the file that `pcg console backup` wrote."],
        )
    if int(version) > VERSION:
        raise newer(f"format {int(version)}; this pcg reads up to {VERSION}")
    second = source.readline(_HEADER_LIMIT)
    if not second.endswith(b"\n"):
        raise truncated() if len(second) < _HEADER_LIMIT else damaged("its second line is too long")
    return first + second, second


def _parameters(line: bytes) -> tuple[Cost, bytes]:
    try:
        read = json.loads(line)
        cost = Cost(int(read["passes"]), int(read["memory-kib"]), int(read["lanes"]))
        salt = base64.b64decode(read["salt"], validate=True)
        kind = str(read["kdf"])
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise damaged("its second line cannot be read") from error
    if kind != "argon2id":
        raise newer(f"its key is made by {kind[:40]!r}")
    fits = (
        1 <= cost.passes <= _MOST_PASSES
        and 1 <= cost.lanes <= _MOST_LANES
        and 8 * cost.lanes <= cost.memory_kib <= _MOST_MEMORY_KIB
        and len(salt) == 16
    )
    if not fits:
        raise damaged("its second line asks for a key that no pcg makes")
    return cost, salt


def _keys(passphrase: str, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    # Composed, because keyboards differ in how they send an accent.
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    made = hash_secret_raw(secret, salt, cost.passes, cost.memory_kib, cost.lanes, 64, Type.ID)
    return made[:32], made[32:]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _opened(cipher: ChaCha20Poly1305, number: int, chunk: bytes, *, last: bool) -> bytes:
    content = _decrypted(cipher, _nonce(number, last=last), chunk)
    if content is not None:
        return content
    # Cut off between two chunks, a good chunk stands where the last one belongs.
    if last and (len(chunk) < _CHUNK + _TAG or _decrypted(cipher, _nonce(number, last=False), chunk) is not None):
        raise truncated()
    raise damaged(f"the part at byte {number * _CHUNK} of its content was changed")


def _decrypted(cipher: ChaCha20Poly1305, nonce: bytes, chunk: bytes) -> bytes | None:
    try:
        return cipher.decrypt(nonce, chunk, None)
    except InvalidTag:
        return None
