"""The gateway's standing session with the console: opened, and opened again, for as long as the process lives.

What the console must be told waits in the outbox meanwhile; nothing here is lost by a broken connection. Called by the
agent; the property tests run the same code over a pipe in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from pcg.errors import PcgError, ProtocolError, TryAgain
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import one_line
from pcg.gateway.connection import Connection, Ended, Party
from pcg.network.websocket import Transport
from pcg.wire import frames

Dial = Callable[[], Awaitable[Transport]]
"""Open a connection; raises Unreachable with the hop that failed."""


class Outcome(Protocol):
    """Hears what became of each connection."""

    def welcomed(self) -> None: ...

    def failed(self, error: PcgError) -> None:
        """It was opened, and ended before the console had welcomed us."""


class Way(Protocol):
    """Hears whether there is a session."""

    def session_up(self) -> None: ...

    def no_session(self, error: PcgError) -> None:
        """It could not be opened. The break of one that stood is not told: most are mended at once."""


STOOD_SECONDS = 10.0
"""a session that lasted this long is opened again at once when it breaks"""


class Session:
    """`connected` while the console has welcomed us; `say` prints one readable line a change."""

    def __init__(
        self,
        party: Party,
        dial: Dial,
        *,
        say: Callable[[str], None] = lambda line: None,
        tries: Backoff | None = None,
        outcome: Outcome | None = None,
        way: Way | None = None,
    ) -> None:
        self.connected = False
        self.was_connected = asyncio.Event()
        """set at the first welcome, and for good"""
        self._party = party
        self._dial = dial
        self._say = say
        self._outcome = outcome
        self._way = way
        self._since: float | None = None
        self._tries = tries or Backoff(first=1.0, most=60.0)

    async def run(self) -> frames.Superseded | frames.Farewell:
        """Until the console ends it for good. Raises Refused for a final refusal; all else is tried again for ever."""
        while True:
            try:
                await self._once()
            except Ended as ended:
                return ended.frame
            except (TryAgain, ProtocolError) as error:
                stood = self._since is not None
                wait = self._wait_after(error)
                self._say(f"no session with the console: {one_line(error)}; next try in {wait:.1f} s")
                if not stood and self._way is not None:
                    self._way.no_session(error)
                await self._party.clock.sleep(wait)

    def _wait_after(self, error: TryAgain | ProtocolError) -> float:
        now = self._party.clock.monotonic()
        if self._since is not None and now - self._since >= STOOD_SECONDS:
            # Most breaks of a session that stood are short. One that broke at once must not be hammered.
            self._tries.reset()
            self._since = None
            return 0.0
        self._since = None
        return self._tries.next(getattr(error, "after", None))

    async def _once(self) -> None:
        transport = await self._dial()
        try:
            await Connection(self._party, transport, self._welcomed).run()
        except (TryAgain, ProtocolError) as error:
            if not self.connected and self._outcome is not None:
                self._outcome.failed(error)
            raise
        finally:
            self.connected = False
            await transport.close()

    def _welcomed(self) -> None:
        self.connected = True
        self.was_connected.set()
        if self._outcome is not None:
            self._outcome.welcomed()
        if self._way is not None:
            self._way.session_up()
        self._since = self._party.clock.monotonic()
        self._say(f"session with the console is up (term {self._party.term})")
