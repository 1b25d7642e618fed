"""How the session's connection is made: a WebSocket, or HTTPS long polling where those do not get through.

Three upgrades in a row that fail while plain HTTPS passes mean that something on the way blocks WebSockets; the session
then goes on by polling, a condition says so, and the upgrade is tried again: after minutes at first, then after hours.
Made by the agent, used by the session, which tells it what became of each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NoReturn

from pcg.clock import Clock
from pcg.errors import PcgError, TryAgain, Unreachable
from pcg.gateway.bootstrap_steps import one_line
from pcg.model.records import ConditionReport, Event, GatewayStatus, Problem
from pcg.model.states import ConditionName, Severity
from pcg.network.websocket import Transport

FAILED_UPGRADES = 3
TRY_UPGRADE_SECONDS = 120.0
"""after which it is tried again the first time; each later wait is twice as long, up to MOST_SECONDS"""
MOST_SECONDS = 3600.0

Open = Callable[[], Awaitable[Transport]]
"""Raises Unreachable with the hop that failed."""


class Dialer:
    """`tell` stores an event; the listener of `on_change` hears that the condition came or went."""

    def __init__(
        self,
        websocket: Open,
        polling: Open,
        clock: Clock,
        tell: Callable[[Event], None],
        try_upgrade_after: float = TRY_UPGRADE_SECONDS,
    ) -> None:
        self._try_after = try_upgrade_after
        self._websocket = websocket
        self._polling = polling
        self._clock = clock
        self._tell = tell
        self._listener: Callable[[], None] = lambda: None
        self._failed = 0
        """upgrades in a row that did not lead to a session"""
        self._blocked_since: datetime | None = None
        self._why = ""
        self._blocked = asyncio.Event()
        self._current: Transport | None = None
        self._ready: Transport | None = None
        """a WebSocket that got through while the session went by polling"""

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    async def __call__(self) -> Transport:
        self._current = await self._open()
        return self._current

    def welcomed(self) -> None:
        """The console has welcomed us on what was dialled last."""
        self._failed = 0

    def failed(self, error: PcgError) -> None:
        """It ended before the console had welcomed us."""
        if self._blocked_since is None and error.fields.get("hop") == "websocket":
            self._failed += 1
            self._why = one_line(error)

    def blocked(self) -> Problem | None:
        """Why the session goes by polling, while it does."""
        if self._blocked_since is None:
            return None
        return Problem(reason="unreachable-websocket", what=self._why[:4096], at=self._blocked_since)

    def condition(self, status: GatewayStatus) -> GatewayStatus:
        """The status with the condition, while it holds."""
        if self._blocked_since is None:
            return status
        told = ConditionReport(
            name=ConditionName.WEBSOCKET_BLOCKED,
            reason="upgrade-failed",
            message="WebSockets to the console do not get through, though HTTPS does: the session goes by polling. "
            f"Let what stands between pass the header Upgrade. {self._why}"[:4096],
            since=self._blocked_since,
        )
        return status.model_copy(update={"conditions": [*status.conditions, told]})

    async def run(self) -> NoReturn:
        """While it goes by polling, try the WebSocket now and then; the session moves over when it gets through."""
        while True:
            await self._blocked.wait()
            wait = self._try_after
            while self._blocked.is_set():
                await self._clock.sleep(wait)
                wait = min(2 * wait, MOST_SECONDS)
                await self._try_upgrade()

    async def _try_upgrade(self) -> None:
        if self._blocked_since is None or self._ready is not None:
            return  # the session has moved over meanwhile, or is about to
        try:
            self._ready = await self._websocket()
        except TryAgain as error:
            self._why = one_line(error)
            return
        if self._current is not None:
            await self._current.close()

    async def _open(self) -> Transport:
        if self._ready is not None:
            transport, self._ready = self._ready, None
            self._unblock()
            return transport
        if self._blocked_since is not None:
            return await self._polling()
        if self._failed < FAILED_UPGRADES:
            try:
                return await self._websocket()
            except Unreachable as error:
                self.failed(error)
                if self._failed < FAILED_UPGRADES:
                    raise
        # Only when HTTPS passes is it known to be the upgrade that is blocked; else the upgrades must fail anew.
        try:
            transport = await self._polling()
        except TryAgain:
            self._failed = 0
            raise
        self._block()
        return transport

    def _block(self) -> None:
        self._blocked_since = self._clock.now()
        self._blocked.set()
        message = f"The session goes by HTTPS long polling, because WebSockets do not get through: {self._why}"
        self._event("WebSocketBlocked", Severity.WARNING, message)

    def _unblock(self) -> None:
        self._blocked_since = None
        self._failed = 0
        self._blocked.clear()
        self._event("WebSocketPasses", Severity.INFO, "WebSockets get through again: the session goes by one.")

    def _event(self, reason: str, severity: Severity, message: str) -> None:
        self._tell(Event(at=self._clock.now(), severity=severity, reason=reason, message=message[:4096]))
        self._listener()
