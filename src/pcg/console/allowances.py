"""How fast a gateway is read: one that floods waits for itself alone, and nothing that it sends is lost.

The session asks before it does anything with a frame; while it waits it reads nothing, so the connection fills up and
holds the gateway back. What is allowed belongs to the gateway and not to a connection: coming back gains nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pcg.clock import Clock
from pcg.console.collapsed_audit import QUARTER_HOUR, CollapsedAudit
from pcg.wire import frames

REMEMBERED = 10_000
"""gateways"""


@dataclass(frozen=True)
class Rate:
    """`burst` at once, then `each_second`. One frame counts at least for 1, and for 1 more with every `size` bytes."""

    burst: float
    each_second: float
    size: int


EVENTS = Rate(burst=2000, each_second=100, size=4096)
STATUSES = Rate(burst=20, each_second=10, size=256 * 1024)
OTHERS = Rate(burst=200, each_second=50, size=16 * 1024)


class Allowances:
    def __init__(self, clock: Clock, audit: CollapsedAudit) -> None:
        self._clock = clock
        self._audit = audit
        self._left: OrderedDict[tuple[str, Rate], tuple[float, float]] = OrderedDict()
        """of each gateway and rate: what is left, below 0 what was taken ahead, and when that was so"""
        self.events_throttled = 0
        """that had to wait since this process started; for /metrics"""

    async def pace(self, gateway_id: str, frame: frames.Frame, size: int) -> None:
        """Waits until this frame of `size` bytes is due."""
        match frame:
            case frames.Reports():
                wait = self._take(gateway_id, EVENTS, max(len(frame.reports), size / EVENTS.size))
                if wait > 0:
                    self._tell(gateway_id, len(frame.reports))
            case frames.Status():
                wait = self._take(gateway_id, STATUSES, size / STATUSES.size)
            case _:
                wait = self._take(gateway_id, OTHERS, size / OTHERS.size)
        if wait > 0:
            await self._clock.sleep(wait)

    def _take(self, gateway_id: str, rate: Rate, cost: float) -> float:
        now, key = self._clock.monotonic(), (gateway_id, rate)
        left, since = self._left.get(key, (rate.burst, now))
        left = min(rate.burst, left + (now - since) * rate.each_second) - max(1.0, cost)
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return max(0.0, -left / rate.each_second)

    def _tell(self, gateway_id: str, events: int) -> None:
        self.events_throttled += events
        self._audit.note("events-throttled", gateway_id=gateway_id, count=events, every=QUARTER_HOUR)
