"""Which gateways have a session now, and when each was last heard; in memory, because a heartbeat writes nothing.

The hub writes it; the service reads it for the condition `disconnected` and for `last_seen`.
"""

from __future__ import annotations

from datetime import datetime


class Presence:
    def __init__(self) -> None:
        self._connected: set[str] = set()
        self._heard: dict[str, datetime] = {}
        self._left: dict[str, datetime] = {}

    def arrived(self, gateway_id: str, now: datetime) -> None:
        self._connected.add(gateway_id)
        self._heard[gateway_id] = now
        self._left.pop(gateway_id, None)

    def heard(self, gateway_id: str, now: datetime) -> None:
        """Any frame of the gateway."""
        self._heard[gateway_id] = now

    def left(self, gateway_id: str, now: datetime) -> None:
        self._connected.discard(gateway_id)
        self._left[gateway_id] = now

    def forget(self, gateway_id: str) -> None:
        """The gateway was removed."""
        self._connected.discard(gateway_id)
        self._heard.pop(gateway_id, None)
        self._left.pop(gateway_id, None)

    def connected(self, gateway_id: str) -> bool:
        return gateway_id in self._connected

    def count(self) -> int:
        return len(self._connected)

    def last_seen(self, gateway_id: str) -> datetime | None:
        """None when it was not heard since this process started: then the store may know."""
        return self._heard.get(gateway_id)

    def left_at(self, gateway_id: str) -> datetime | None:
        return self._left.get(gateway_id)
