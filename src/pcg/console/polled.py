"""Sessions whose frames go by HTTPS long polling, where WebSockets do not get through (docs/protocol.md, Long polling).

To the hub each is one more transport: the same frames, the same proofs, the same end. A request names its session by a
token of 256 random bits, which is worth nothing without the gateway's key. Called by `api/polling.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from pcg.clock import Clock
from pcg.console.auth import token_hash
from pcg.console.hub import Hub
from pcg.errors import Busy, NotFound, Unreachable

MAXIMUM_POLLED = 4096
"""at a time; the hub bounds those that have not proven themselves yet"""

SILENT_SECONDS = 60.0
"""a gateway that asks for nothing for so long is gone"""

WAIT_SECONDS = 25.0
"""how long an answer may be held back: shorter than what proxies allow an idle answer"""

_WAITING_FRAMES = 8
"""of either direction; whoever sends more waits"""

_LAST_WORDS_SECONDS = 30.0
"""how long the last frames of an ended session can still be fetched"""


class PolledTransport:
    """The session's side are `send`, `receive` and `close`; the gateway's requests come by `put` and `take`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inbound: deque[str] = deque()
        self._outbound: deque[str] = deque()
        self._changed = asyncio.Condition()
        self._closed = False
        self._heard = clock.monotonic()
        self._asking = 0
        """answers that are held back now"""

    async def send(self, text: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._outbound) < _WAITING_FRAMES)
            if self._closed:
                raise _gone()
            self._outbound.append(text)
            self._changed.notify_all()

    async def receive(self) -> str:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or bool(self._inbound))
            if not self._inbound:
                raise _gone()
            text = self._inbound.popleft()
            self._changed.notify_all()
            return text

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def put(self, text: str) -> None:
        """A frame of the gateway. Raises NotFound when the session has ended."""
        self._heard = self._clock.monotonic()
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self._inbound) < _WAITING_FRAMES)
            if self._closed:
                raise ended()
            self._inbound.append(text)
            self._changed.notify_all()

    async def take(self, seconds: float) -> str | None:
        """The next frame for the gateway; None when there is none within `seconds`. Raises NotFound at the end."""
        self._asking += 1
        try:
            async with self._changed:
                try:
                    async with asyncio.timeout(min(seconds, WAIT_SECONDS)):
                        await self._changed.wait_for(lambda: self._closed or bool(self._outbound))
                except TimeoutError:
                    return None
                if not self._outbound:
                    raise ended()
                text = self._outbound.popleft()
                self._changed.notify_all()
                return text
        finally:
            self._asking -= 1
            self._heard = self._clock.monotonic()

    async def until_silent(self) -> None:
        """Return when the gateway has not asked for anything for too long."""
        while True:
            now = self._clock.monotonic()
            rest = SILENT_SECONDS if self._asking else self._heard + SILENT_SECONDS - now
            if rest <= 0:
                return
            await self._clock.sleep(rest)


class Polled:
    """All of them in a console, by the hash of their token."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._transports: dict[str, PolledTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, address: str) -> str:
        """A new session's token. Raises Busy when there are too many."""
        if len(self._transports) >= MAXIMUM_POLLED:
            raise Busy("Too many sessions go by long polling at the moment.", reason="busy", after=30.0)
        token, transport = secrets.token_urlsafe(32), PolledTransport(self._clock)
        self._transports[token_hash(token)] = transport
        task = asyncio.create_task(self._serve(token_hash(token), transport, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return token

    def find(self, token: str) -> PolledTransport:
        """Raises NotFound."""
        transport = self._transports.get(token_hash(token))
        if transport is None:
            raise ended()
        return transport

    async def close(self) -> None:
        """The console stops: whatever still waits here ends."""
        for transport in list(self._transports.values()):
            await transport.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, key: str, transport: PolledTransport, address: str) -> None:
        session = asyncio.create_task(self._hub.serve(transport, address))
        silent = asyncio.create_task(transport.until_silent())
        try:
            await asyncio.wait({session, silent}, return_when=asyncio.FIRST_COMPLETED)
            await transport.close()
            await session
            # The last word (superseded, farewell, a refusal) is still to be fetched.
            await self._clock.sleep(_LAST_WORDS_SECONDS)
        finally:
            for task in (session, silent):
                task.cancel()
            await asyncio.gather(session, silent, return_exceptions=True)
            self._transports.pop(key, None)


def ended() -> NotFound:
    return NotFound("This session has ended.", reason="session-closed", remedy=["The gateway opens another by itself."])


def _gone() -> Unreachable:
    return Unreachable("The connection is gone.", reason="session-closed", fields={"hop": "http"})
