"""How long to wait before the next try: full jitter, so that many gateways do not come back to a console at once.

Used by bootstrap and session. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random


class Backoff:
    """Waits in seconds: evenly between 0 and a ceiling that doubles from `first` to `most`."""

    def __init__(self, first: float = 1.0, most: float = 60.0, *, generator: random.Random | None = None) -> None:
        self._first = first
        self._most = most
        self._ceiling = first
        self._random = generator or random.Random()

    def next(self, asked: float | None = None) -> float:
        """The next wait. `asked` is what the other side asked for: kept up to an hour, with jitter on top."""
        wait = self._random.uniform(0, self._ceiling)
        self._ceiling = min(self._most, self._ceiling * 2)
        return wait if asked is None else min(asked, 3600.0) + wait

    def reset(self) -> None:
        self._ceiling = self._first
