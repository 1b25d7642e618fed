"""The nonces that registrations sign: good for ten minutes, and once.

A nonce carries its own time under a key that only this process has, so asking for nonces costs no memory and nobody can
push out another's. Only used ones are remembered, until they would have expired; `pairing.py` uses them up after it has
verified the signatures and found the code good, so only holders of a good pairing code can fill that memory.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import struct

from pcg.clock import Clock
from pcg.errors import Busy, ProtocolError, Refused
from pcg.sealing import encoding

LIFETIME_SECONDS = 600.0
MAXIMUM_USED = 10_000
"""used nonces that are remembered at a time"""

_RANDOM_BYTES = 16
_TIME = struct.Struct(">d")


class Nonces:
    """After a restart of the console every earlier nonce counts as expired: the installer asks for a new one."""

    def __init__(self, clock: Clock, *, maximum_used: int = MAXIMUM_USED) -> None:
        self._clock = clock
        self._maximum = maximum_used
        self._key = secrets.token_bytes(32)
        self._used: dict[str, float] = {}
        """in the order of use, with the moment at which each would have expired"""

    def new(self) -> str:
        body = secrets.token_bytes(_RANDOM_BYTES) + _TIME.pack(self._clock.monotonic())
        return encoding.encode(body + self._mac(body))

    def check(self, nonce: str) -> float:
        """When it will expire. Raises Refused (`nonce-expired`) for one that is too old, used, or not of ours."""
        made = self._made_at(nonce)
        now = self._clock.monotonic()
        if made is None:
            raise _expired("it is not of this console, or the console was started again since")
        if not 0 <= now - made < LIFETIME_SECONDS:
            raise _expired(f"made {now - made:.0f} s ago, good for {LIFETIME_SECONDS:.0f} s")
        if nonce in self._used:
            raise _expired("it was used already")
        return made + LIFETIME_SECONDS

    def use(self, nonce: str) -> None:
        """Raises Refused as `check` does; Busy when too many were used within ten minutes."""
        expires = self.check(nonce)
        self._forget_expired()
        if len(self._used) >= self._maximum:
            raise Busy(
                "Too many installers register at the moment.",
                reason="busy",
                evidence=[f"{len(self._used)} registrations within {LIFETIME_SECONDS:.0f} s"],
                remedy=["Wait a minute: the installer tries again by itself."],
                after=60.0,
            )
        self._used[nonce] = expires

    def _forget_expired(self) -> None:
        now = self._clock.monotonic()
        self._used = {nonce: expires for nonce, expires in self._used.items() if expires > now}

    def _made_at(self, nonce: str) -> float | None:
        try:
            data = encoding.decode(nonce)
        except ProtocolError:
            return None
        # Re-encoded: base64 has several spellings of the same bytes, and a used nonce must not come back as another.
        body, mac = data[: _RANDOM_BYTES + _TIME.size], data[_RANDOM_BYTES + _TIME.size :]
        if encoding.encode(data) != nonce or not hmac.compare_digest(mac, self._mac(body)):
            return None
        made = float(_TIME.unpack(body[_RANDOM_BYTES:])[0])
        return made if math.isfinite(made) else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()


def _expired(why: str) -> Refused:
    return Refused(
        "This registration was signed for a nonce that is no longer good.",
        reason="nonce-expired",
        evidence=[why],
        remedy=["Ask for a new nonce and sign again: the installer does so by itself."],
    )
