"""Registrations that are refused are answered late, and only so many wait at a time. Called by `pairing.py`.

A code has 90 bits, so this is not what keeps it from being guessed: it keeps guessers cheap for the console. No code is
ever burnt by wrong ones, and a right one does not wait: a whole company may share one address.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pcg.clock import Clock
from pcg.console.throttling import REMEMBERED, client_network
from pcg.errors import Busy

FREE = 10
"""refusals of one address that are answered at once"""
FIRST_SECONDS = 0.1
MOST_SECONDS = 3.0
FORGIVEN_SECONDS = 10.0
"""after so long one refusal of an address is forgotten"""

MAXIMUM_WAITING = 256
MAXIMUM_WAITING_OF_ONE = 32
"""answers that wait at a time, in all and of one address"""

MAXIMUM_LOOKED_UP = 1024
MAXIMUM_LOOKED_UP_OF_ONE = 256
"""codes that are looked up or wait for it: some milliseconds each, so that a right one among them gets its turn"""

_LOOKED_UP_AT_ONCE = 4
"""of the store's connections; the others are left to everybody else"""

_MOST_LEVEL = 20.0
"""refusals held against an address: after two minutes without any it is answered at once again"""


class Attempts:
    """One of it in a console."""

    def __init__(self, clock: Clock, *, remembered: int = REMEMBERED) -> None:
        self._clock = clock
        self._remembered = remembered
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """of each address: how many refusals are not forgiven yet, and when that was so; the latest last"""
        self._waiting: Counter[str] = Counter()
        self._looking: Counter[str] = Counter()
        self._room = asyncio.Semaphore(_LOOKED_UP_AT_ONCE)

    @asynccontextmanager
    async def looking_up(self, address: str) -> AsyncIterator[None]:
        """In turn; raises Busy when too many wait for theirs."""
        with _among(self._looking, client_network(address), MAXIMUM_LOOKED_UP, MAXIMUM_LOOKED_UP_OF_ONE):
            async with self._room:
                yield

    async def slow_down(self, address: str) -> None:
        """Waits as long as this address must now; raises Busy when too many wait already."""
        place = client_network(address)
        seconds = self._seconds(place)
        if seconds > 0:
            with _among(self._waiting, place, MAXIMUM_WAITING, MAXIMUM_WAITING_OF_ONE):
                await self._clock.sleep(seconds)

    def _seconds(self, place: str) -> float:
        now = self._clock.monotonic()
        level, since = self._levels.get(place, (0.0, now))
        level = min(_MOST_LEVEL, max(0.0, level - (now - since) / FORGIVEN_SECONDS) + 1.0)
        self._levels[place] = (level, now)
        self._levels.move_to_end(place)
        if len(self._levels) > self._remembered:
            self._levels.popitem(last=False)
        beyond = level - FREE
        return min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** (beyond - 1)) if beyond > 0 else 0.0


@contextmanager
def _among(counted: Counter[str], place: str, most: int, most_of_one: int) -> Iterator[None]:
    if counted.total() >= most or counted[place] >= most_of_one:
        raise Busy(
            "Too many registrations of this address were refused or are under way.",
            reason="too-many-attempts",
            evidence=[f"waiting: {counted[place]} of this address, {counted.total()} in all"],
            remedy=["Wait a moment: the installer tries again by itself. No pairing code was used up."],
            after=MOST_SECONDS,
        )
    counted[place] += 1
    try:
        yield
    finally:
        counted[place] -= 1
        if not counted[place]:
            del counted[place]
