"""How much of an archive is read at most: hostile ones end here, honest ones never come near. Used by every reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pcg.errors import PcgError

MEBIBYTE = 1 << 20


class LimitReached(PcgError):
    """Reading stops here; what was read before counts."""


@dataclass
class Limits:
    """Bytes are unpacked ones. Seconds are counted from the first byte."""

    member_bytes: int = 2048 * MEBIBYTE
    total_bytes: int = 8192 * MEBIBYTE
    members: int = 20_000
    line_bytes: int = 64 * 1024
    seconds: float = 300.0
    ratio: int = 400
    """unpacked by packed bytes; logs stay below 100, zeros reach 1000"""
    ratio_after: int = 128 * MEBIBYTE
    monotonic: Callable[[], float] = time.monotonic


@dataclass
class Budget:
    """What one reading has used so far."""

    limits: Limits
    unpacked: int = 0
    members: int = 0
    started: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.started = self.limits.monotonic()

    def spend(self, unpacked: int) -> None:
        """Raises LimitReached."""
        self.unpacked += unpacked
        if self.unpacked > self.limits.total_bytes:
            raise LimitReached(
                f"more than {self.limits.total_bytes // MEBIBYTE} MiB when unpacked; the rest is not read"
            )
        if self.limits.monotonic() - self.started > self.limits.seconds:
            raise LimitReached(f"reading took longer than {self.limits.seconds:g} s; the rest is not read")

    def next_member(self) -> None:
        """Raises LimitReached."""
        self.members += 1
        if self.members > self.limits.members:
            raise LimitReached(f"more than {self.limits.members} files; the rest is not read")
        self.spend(0)

    def too_dense(self, packed: int, unpacked: int) -> bool:
        """Unpacks to a multiple that no log has."""
        return unpacked > self.limits.ratio_after and unpacked > self.limits.ratio * max(packed, 1)
