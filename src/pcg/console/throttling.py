"""How often something came lately, remembered within bounds, and whom it is counted for. Used by `passwords.py` and
`registration_attempts.py`.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Hashable

from pcg.clock import Clock

REMEMBERED = 10_000
"""keys; those that have been quiet for longest are forgotten first"""

_LONGEST_NAME = 64


class RecentCounts:
    """At most `most` times within `seconds` for each key. Memory is bounded by REMEMBERED keys of `most` times each."""

    def __init__(self, clock: Clock, *, most: int, seconds: float, remembered: int = REMEMBERED) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._remembered = remembered
        self._times: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Seconds until it may come again; 0: now."""
        times = self._times.get(key)
        if times is None:
            return 0.0
        now = self._clock.monotonic()
        while times and now - times[0] >= self._seconds:
            times.popleft()
        if not times:
            del self._times[key]
        return self._seconds - (now - times[0]) if len(times) >= self._most else 0.0

    def note(self, key: Hashable) -> None:
        self._times.setdefault(key, deque(maxlen=self._most)).append(self._clock.monotonic())
        self._times.move_to_end(key)
        if len(self._times) > self._remembered:
            self._times.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        self._times.pop(key, None)

    def __len__(self) -> int:
        return len(self._times)


def client_network(address: str) -> str:
    """Whom an address is counted for. Whoever has one IPv6 address has the 2^64 beside it as well."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:_LONGEST_NAME]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
