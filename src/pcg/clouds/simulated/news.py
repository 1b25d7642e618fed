"""Who waits for changes is woken by them: a revision for each topic, and a wait until it is another one."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class News:
    """Topics are gateways' ids, POWER for the machine runner, and EVERYONE, which is news in every topic. `start` makes
    revisions of one life differ from those of the one before."""

    POWER = "power"
    EVERYONE = "everyone"

    def __init__(self, start: int) -> None:
        self._start = start
        self._revisions: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def revision(self, topic: str) -> int:
        return self._start + self._revisions[topic] + self._revisions[self.EVERYONE]

    def changed(self, topic: str) -> None:
        self._revisions[topic] += 1
        for woken in list(self._waiting) if topic == self.EVERYONE else [topic]:
            for event in self._waiting.pop(woken, ()):
                event.set()

    def close(self) -> None:
        """Nobody waits any longer."""
        self._closed = True
        self.changed(self.EVERYONE)

    async def wait(self, topic: str, after: int, timeout: float) -> int:
        """The topic's revision as soon as it is not `after`, or after `timeout` seconds."""
        if not self._closed and self.revision(topic) == after:
            event = asyncio.Event()
            self._waiting[topic].add(event)
            try:
                async with asyncio.timeout(timeout):
                    await event.wait()
            except TimeoutError:
                pass  # nothing happened: that is an answer too
            finally:
                self._waiting[topic].discard(event)
        return self.revision(topic)
