"""The one clock, injected everywhere, so that a test can run an hour in a moment.

Waits use monotonic time; wall time only labels events and certificates. With `LoopClock` both follow the running
event loop, so a loop with simulated time (the tests' looptime) moves the whole product.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MOST_OFFSET = 60.0
"""seconds that two machines' clocks may differ by before anything is made; own certificates are dated a day back, but
etcd's and the tokens' clocks must agree much better"""


class Clock(Protocol):
    """`monotonic` in seconds from an arbitrary start; `now` in UTC; `sleep` in seconds."""

    def monotonic(self) -> float: ...

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopClock:
    """Time as the running event loop counts it, from `epoch` on."""

    def __init__(self, epoch: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._epoch = epoch

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
