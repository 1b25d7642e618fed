"""The hub: which gateway is connected by which session, and the way to ask a connected one something.

`api/gateway_side.py` gives it connections; `api/live.py` and the pages ask through it. Of one gateway the process with
the highest term counts; the others are sent `superseded`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pcg.console.audit import record
from pcg.console.auth import Actor
from pcg.console.endings import Ended
from pcg.console.requests import make_request, not_connected
from pcg.console.service import Service
from pcg.console.session import Session, Transport
from pcg.console.store.models import Gateway
from pcg.console.streams import Topic
from pcg.errors import Unreachable
from pcg.wire import frames

_log = logging.getLogger(__name__)

MAXIMUM_UNPROVEN = 512
"""connections that have not proven themselves yet, at a time"""

MAXIMUM_UNPROVEN_OF_ONE = 64
"""of one address; gateways behind one NAT that come back together wait for each other"""

_LAST_SECONDS = 5.0
"""for a session's last words when the console stops"""


class Hub:
    """One of it in a console."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sessions: dict[str, Session] = {}
        self._unproven: Counter[str] = Counter()
        self._serving: dict[asyncio.Task[Any], Session] = {}
        self._closed = False

    async def serve(self, transport: Transport, address: str) -> None:
        """One connection, until its end; `address` is where it comes from."""
        if self._closed:
            await _turn_away(transport, "The console is being stopped.")
            return
        if self._unproven.total() >= MAXIMUM_UNPROVEN or self._unproven[address] >= MAXIMUM_UNPROVEN_OF_ONE:
            await _turn_away(transport, "Too many connections wait for their proof at the moment.")
            return
        waiting = True
        self._unproven[address] += 1

        def proven() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._unproven[address] -= 1
                if not self._unproven[address]:
                    del self._unproven[address]

        serving = asyncio.current_task()
        assert serving is not None
        session = self._serving[serving] = Session(self._service, self, transport, proven)
        try:
            await session.run()
        finally:
            del self._serving[serving]
            proven()

    async def close(self) -> None:
        """The console stops: every session has left the store when this returns."""
        self._closed = True
        for task, session in list(self._serving.items()):
            if session.gateway_id:
                session.end(None)
            else:
                task.cancel()
        if self._serving:
            _, slow = await asyncio.wait(list(self._serving), timeout=_LAST_SECONDS)
            for task in slow:
                task.cancel()
            if slow:
                await asyncio.wait(slow)

    async def request(self, gateway_id: str, verb: str, arguments: dict[str, Any], actor: Actor) -> dict[str, Any]:
        """The gateway's answer to one of the verbs of the protocol. Audited before it is asked.

        The caller has checked that the actor may. Raises TryAgain (503) when the gateway is not connected or does not
        answer in time, Busy, ProtocolError (502), InvalidInput, and what the gateway tells as an error.
        """
        if gateway_id not in self._sessions:
            raise not_connected()
        request = make_request(verb, arguments)
        async with self._service.database.write() as session:
            row = await session.get(Gateway, gateway_id)
            now = self._service.clock.now()
            record(session, now, actor, "gateway-asked", row, verb=verb, request=request.id)
        return await self._ask(gateway_id, request)

    async def go_on(self, gateway_id: str, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As `request`, for a further part of what a person asked for once and what was audited then."""
        return await self._ask(gateway_id, make_request(verb, arguments))

    def connected(self, gateway_id: str) -> bool:
        return gateway_id in self._sessions

    async def _ask(self, gateway_id: str, request: frames.Request) -> dict[str, Any]:
        present = self._sessions.get(gateway_id)
        if present is None:
            raise not_connected()
        try:
            return await present.requests.ask(request)
        except Unreachable:
            # The session ended while it was asked.
            raise not_connected() from None

    # The sessions' side.

    def enter(self, session: Session) -> None:
        """Raises Ended for a session whose term is lower than that of one that is connected."""
        present = self._sessions.get(session.gateway_id)
        if present is not None and present.term > session.term:
            raise Ended(frames.Superseded(term=present.term))
        self._sessions[session.gateway_id] = session
        if present is not None:
            # The same term is the same process on a new connection: the old one is dead, and nobody is superseded.
            older = present.term < session.term
            present.end(frames.Superseded(term=session.term) if older else None)
        self._service.presence.arrived(session.gateway_id, self._service.clock.now())
        self._service.streams.notify(session.gateway_id, Topic.STATUS)

    async def leave(self, session: Session) -> None:
        """Nothing when another session of the gateway has taken its place."""
        gateway_id = session.gateway_id
        if self._sessions.get(gateway_id) is not session:
            return
        del self._sessions[gateway_id]
        self._service.presence.left(gateway_id, self._service.clock.now())
        try:
            await self._service.reports.save_last_seen(gateway_id)
        except SQLAlchemyError:
            _log.exception("when gateway %s was last seen could not be stored", gateway_id)
        if session.deleted and gateway_id not in self._sessions:
            self._service.presence.forget(gateway_id)
        self._service.streams.notify(gateway_id, Topic.STATUS)


async def _turn_away(transport: Transport, told: str) -> None:
    try:
        await transport.send(frames.encode(frames.Refusal(reason="busy", message=told)))
        await transport.close()
    except Unreachable:
        _log.info("a connection that was turned away was gone already")
