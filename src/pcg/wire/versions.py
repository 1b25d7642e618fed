"""The protocol's version: one growing integer, with its history beside it.

    1   2026-11  registration by pairing code; session with challenge, desired state, reports, status, requests

The console speaks the current version and the one before it (DESIGN principle 14).
"""

from __future__ import annotations

LOWEST = 1
CURRENT = 1


def negotiate(lowest: int, highest: int) -> int | None:
    """The highest version that both sides speak, or None."""
    best = min(highest, CURRENT)
    return best if best >= max(lowest, LOWEST) else None
