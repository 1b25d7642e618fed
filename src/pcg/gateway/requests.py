"""Answers the console's requests over the session: a closed table of read-only verbs, each with deadline, size limit
and cancel.

One `Requests` lives as long as one connection (an answer after it would have no addressee); used by the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pcg.clock import Clock
from pcg.errors import AskPerson, Busy, GiveUp, PcgError, TryAgain
from pcg.model.problems import problem_at
from pcg.model.records import Problem
from pcg.wire.frames import MAXIMUM_FRAME_BYTES, Request, Response

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""From a request's arguments to the answer's body (JSON values only)."""

MAXIMUM_AT_ONCE = 8
"""requests beyond it are answered `busy`"""

_ENVELOPE_BYTES = 1024
"""what a response frame has around its body"""

_log = logging.getLogger(__name__)


class Requests:
    """`reply` sends a response. Handlers run as tasks of `group`, so none outlives the connection."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        clock: Clock,
        group: asyncio.TaskGroup,
        reply: Callable[[Response], Awaitable[None]],
    ) -> None:
        self._handlers = handlers
        self._clock = clock
        self._group = group
        self._reply = reply
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, request: Request) -> None:
        """The same id again while it is being answered changes nothing."""
        if request.id not in self._running:
            too_many = len(self._running) >= MAXIMUM_AT_ONCE
            self._running[request.id] = self._group.create_task(self._answer(request, too_many))

    def cancel(self, request_id: str) -> None:
        """No response follows a cancel; an unknown id is one that was answered already."""
        task = self._running.pop(request_id, None)
        if task is not None:
            task.cancel()

    async def _answer(self, request: Request, too_many: bool) -> None:
        try:
            await self._reply(await self._response(request, too_many))
        finally:
            if self._running.get(request.id) is asyncio.current_task():
                del self._running[request.id]

    async def _response(self, request: Request, too_many: bool) -> Response:
        try:
            if too_many:
                raise Busy("The gateway answers too many requests at once.", reason="busy")
            body = await self._handle(request)
            size = len(json.dumps(body).encode())
            limit = min(request.limit, MAXIMUM_FRAME_BYTES - _ENVELOPE_BYTES)
            if size > limit:
                raise GiveUp(f"The answer has {size} bytes, and {limit} are allowed.", reason="too-large")
            return Response(id=request.id, ok=True, body=body)
        except PcgError as error:
            problem = problem_of(error, self._clock)
        except Exception as error:  # noqa: BLE001 - a handler's fault must not end the session
            _log.exception("request %s (%s) failed", request.id, request.verb)
            problem = problem_of(_unforeseen(request, error), self._clock)
        return Response(id=request.id, ok=False, body=problem.model_dump(mode="json"))

    async def _handle(self, request: Request) -> dict[str, Any]:
        handler = self._handlers.get(request.verb)
        if handler is None:
            raise GiveUp(f"This gateway does not answer `{request.verb}`.", reason="verb-unknown")
        deadline = asyncio.timeout(request.deadline)
        try:
            async with deadline:
                return await handler(request.arguments)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TryAgain(
                f"`{request.verb}` took longer than {request.deadline:g} s.", reason="deadline-exceeded"
            ) from None


def problem_of(error: PcgError, clock: Clock) -> Problem:
    return problem_at(error, clock.now())


def _unforeseen(request: Request, error: Exception) -> PcgError:
    return AskPerson(
        f"`{request.verb}` failed in a way that pcg did not foresee.",
        reason="unexpected",
        # The type alone: a message of an unknown error may hold anything, secrets too. The gateway's log has it all.
        evidence=[type(error).__name__],
        remedy=["Look at the gateway's log, and report what it says."],
    )
