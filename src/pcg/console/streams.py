"""News inside this process: what changed at which gateway, told at once to whoever waits.

The service tells; server-sent events, pages and the hub listen. News carry no data: a listener reads the store again,
so a slow one misses nothing and needs no buffer. One console process; a second one would need the database to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Topic(StrEnum):
    EVENTS = "events"
    """new events were stored"""
    STATUS = "status"
    """steps, machines, findings, state, registration or presence changed"""
    DESIRED = "desired"
    """what is wanted of the gateway changed, or it was deleted; the hub sends it on"""


class Subscription:
    """`async for topics in subscription`: each time the set of what changed since last time; ends when closed."""

    def __init__(self) -> None:
        self._topics: set[Topic] = set()
        self._changed = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[set[Topic]]:
        return self

    async def __anext__(self) -> set[Topic]:
        await self._changed.wait()
        if self._closed:
            raise StopAsyncIteration
        self._changed.clear()
        topics, self._topics = self._topics, set()
        return topics

    def tell(self, topics: set[Topic]) -> None:
        self._topics |= topics
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()


class Streams:
    """One of it in a console."""

    def __init__(self) -> None:
        self._subscriptions: dict[str | None, set[Subscription]] = {}
        self._closed = False

    def notify(self, gateway_id: str, *topics: Topic) -> None:
        """Call it after the commit, never before: listeners read the store at once."""
        for key in (gateway_id, None):
            for subscription in self._subscriptions.get(key, ()):
                subscription.tell(set(topics))

    def notify_all(self, *topics: Topic) -> None:
        """Something that concerns every gateway."""
        for listeners in self._subscriptions.values():
            for subscription in listeners:
                subscription.tell(set(topics))

    @contextmanager
    def subscribe(self, gateway_id: str | None = None) -> Iterator[Subscription]:
        """News of one gateway, or of all. Subscribe first, then read the store: so nothing is missed between."""
        subscription = Subscription()
        if self._closed:
            subscription.close()
        self._subscriptions.setdefault(gateway_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            listeners = self._subscriptions[gateway_id]
            listeners.discard(subscription)
            if not listeners:
                del self._subscriptions[gateway_id]

    def close(self) -> None:
        """The console stops: every listener's loop ends."""
        self._closed = True
        for listeners in self._subscriptions.values():
            for subscription in listeners:
                subscription.close()
