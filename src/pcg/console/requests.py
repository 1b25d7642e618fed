"""What the console has asked one gateway and not been answered yet: deadline, size limit, cancel.

One `OpenRequests` lives as long as one session (`session.py`); the hub makes the requests and audits them.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from pcg.errors import Busy, InvalidInput, NotFound, PcgError, ProtocolError, TryAgain
from pcg.model.records import Problem
from pcg.wire.frames import Cancel, Frame, Request, Response, encode

MAXIMUM_AT_ONCE = 8
"""of one gateway; it answers no more at a time either"""

GRACE_SECONDS = 5.0
"""the gateway tells itself that it missed a deadline; after this it is not waited for any longer"""

_BOUNDS: dict[str, tuple[float, int]] = {
    "preflight": (120.0, 256 * 1024),
    "inventory": (60.0, 512 * 1024),
    "kubeconfig": (30.0, 64 * 1024),
    "bundle": (60.0, 512 * 1024),
}
"""the closed list of verbs: seconds, and bytes of the answer"""

Send = Callable[[Frame], Awaitable[None]]


def make_request(verb: str, arguments: dict[str, Any]) -> Request:
    """With a new id and the verb's bounds. Raises NotFound for a verb that is not on the list, InvalidInput."""
    if verb not in _BOUNDS:
        raise NotFound(f"A gateway cannot be asked for {verb!r}.", reason="verb-unknown", evidence=[*_BOUNDS])
    deadline, limit = _BOUNDS[verb]
    parts = {"id": secrets.token_hex(8), "verb": verb, "arguments": arguments, "deadline": deadline, "limit": limit}
    try:
        request = Request.model_validate(parts)
        encode(request)
    except ValidationError as error:
        evidence = [item["msg"] for item in error.errors(include_input=False)]
        raise InvalidInput("This cannot be asked of a gateway.", reason="request-invalid", evidence=evidence) from None
    except ProtocolError as error:
        raise InvalidInput(error.what, reason="request-too-large", remedy=["Leave out what is not needed."]) from None
    return request


def not_connected() -> TryAgain:
    return TryAgain(
        "The gateway has no session with the console now.",
        reason="gateway-away",
        cause="It is switched off, on its way back, or cannot reach the console.",
        remedy=["Try again in a moment; if it stays so, look at the installer's screen or its log."],
        after=5.0,
    )


class OpenRequests:
    """`send` sends a frame to the gateway."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._open: dict[str, asyncio.Future[Response]] = {}
        self._welcomed = False

    def begin(self) -> None:
        """The gateway was welcomed: before that a request would be a frame out of order."""
        self._welcomed = True

    async def ask(self, request: Request) -> dict[str, Any]:
        """The answer's body.

        Raises TryAgain when there is no answer (`gateway-away`, `deadline-exceeded`), Busy, ProtocolError for
        an answer that is too large or none, and what the gateway tells as an error. A cancelled caller cancels the
        request at the gateway too.
        """
        if not self._welcomed:
            raise not_connected()
        if len(self._open) >= MAXIMUM_AT_ONCE:
            raise Busy(
                "This gateway is being asked too much at once.",
                reason="busy",
                evidence=[f"{len(self._open)} requests are open"],
                remedy=["Try again in a moment."],
                after=5.0,
            )
        future = self._open[request.id] = asyncio.get_running_loop().create_future()
        try:
            return _body_of(request, await self._answer(request, future))
        finally:
            del self._open[request.id]

    def answered(self, response: Response) -> None:
        """One that is not waited for any longer is dropped."""
        future = self._open.get(response.id)
        if future is not None and not future.done():
            future.set_result(response)

    def close(self) -> None:
        """The session ended: whoever waits is told."""
        self._welcomed = False
        for future in self._open.values():
            if not future.done():
                future.set_exception(not_connected())

    async def _answer(self, request: Request, future: asyncio.Future[Response]) -> Response:
        try:
            async with asyncio.timeout(request.deadline + GRACE_SECONDS):
                await self._send(request)
                return await future
        except TimeoutError:
            await self._cancel(request)
            raise TryAgain(
                f"The gateway did not answer `{request.verb}` within {request.deadline:g} s.",
                reason="deadline-exceeded",
                remedy=["Try again; if it stays so, look at the gateway's events and its log."],
            ) from None
        except asyncio.CancelledError:
            await self._cancel(request)
            raise

    async def _cancel(self, request: Request) -> None:
        try:
            await self._send(Cancel(id=request.id))
        except TryAgain:
            # The session ended, and with it what the gateway was doing for us.
            return


def _body_of(request: Request, response: Response) -> dict[str, Any]:
    size = len(json.dumps(response.body).encode())
    if size > request.limit:
        raise ProtocolError(
            f"The gateway's answer to `{request.verb}` is too large.",
            reason="too-large",
            evidence=[f"{size} bytes, {request.limit} are allowed"],
        )
    if response.ok:
        return response.body
    try:
        raise _told(Problem.model_validate(response.body))
    except ValidationError:
        raise ProtocolError("The gateway failed and did not say how.", reason="answer-invalid") from None


def _told(problem: Problem) -> PcgError:
    """The gateway's own error. Its kind does not cross the wire, only its reason; what may pass is known by that."""
    parts = (problem.what, problem.reason, problem.evidence, problem.cause, problem.remedy, problem.link)
    if problem.reason in ("busy", "deadline-exceeded"):
        return Busy(*parts, problem.fields, after=5.0)
    if problem.reason == "too-large":
        return ProtocolError(*parts, problem.fields)
    return PcgError(*parts, problem.fields)
