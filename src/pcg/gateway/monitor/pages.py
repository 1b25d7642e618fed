"""The routes of the installer's own page: Status, Logs, Tasks, and signing in.

Everything can be read without scripts; `monitor.js` keeps it fresh. Forms are taken from our own pages only, with the
token of their session. Put together by `application.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from pcg.bundle.collecting import create_bundle
from pcg.clock import Clock
from pcg.errors import Busy, CredentialsRejected, NotFound, Refused
from pcg.gateway.bundle_documents import documents_of_state, secrets_of_state
from pcg.gateway.monitor import tail
from pcg.gateway.monitor.log_sources import LogSource, LogSources
from pcg.gateway.monitor.safety import from_our_page
from pcg.gateway.monitor.sign_in import COOKIE, CSRF_FIELD, Session, SignIn, same
from pcg.gateway.monitor.state_reading import look
from pcg.gateway.monitor.tasks import TaskRuns
from pcg.gateway.monitor.templating import page
from pcg.model.states import Severity, StepState

MAXIMUM_STREAMS = 8
"""live views and downloads at a time, of everybody together"""

_PING_SECONDS = 15.0
_CHUNK = 256 * 1024

Handler = Callable[[Request, Session], Awaitable[Response]]


@dataclass
class Site:
    """What the pages are made of."""

    state: Path
    logs: LogSources
    sign_in: SignIn
    tasks: TaskRuns
    clock: Clock
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """ends streams that would never end"""
    streams: int = 0

    def routes(self) -> list[Route]:
        return [
            Route("/", self._seen(self.status)),
            Route("/logs", self._seen(self.log_list)),
            Route("/logs/bundle", self._done(self.bundle), methods=["POST"]),
            Route("/logs/{name}", self._seen(self.log)),
            Route("/logs/{name}/live", self._seen(self.log_live)),
            Route("/logs/{name}/download", self._seen(self.log_download)),
            Route("/tasks", self._seen(self.task_list)),
            Route("/tasks/{name}", self._done(self.task_start), methods=["POST"]),
            Route("/sign-in", self.sign_in_form, methods=["GET"]),
            Route("/sign-in", self.sign_in_typed, methods=["POST"]),
            Route("/sign-out", self._done(self.sign_out), methods=["POST"]),
        ]

    # Who asks.

    def _seen(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(handler)
        async def guarded(request: Request) -> Response:
            session = self.sign_in.session(request.cookies.get(COOKIE, ""))
            if session is None:
                return RedirectResponse("/sign-in", 303)
            return await handler(request, session)

        return guarded

    def _done(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request, session: Session) -> Response:
            form = await request.form(max_files=0, max_fields=4)
            token = form.get(CSRF_FIELD)
            if not from_our_page(request.headers) or not isinstance(token, str) or not same(token, session.csrf):
                raise Refused("This form did not come from this page.", reason="foreign-form")
            return await handler(request, session)

        return self._seen(checked)

    async def sign_in_form(self, request: Request) -> Response:
        if self.sign_in.session(request.cookies.get(COOKIE, "")) is not None:
            return RedirectResponse("/", 303)
        return page(request, None, "sign_in.html", error=None, made=self.sign_in.password_made())

    async def sign_in_typed(self, request: Request) -> Response:
        if not from_our_page(request.headers):
            raise Refused("This form did not come from this page.", reason="foreign-form")
        typed = (await request.form(max_files=0, max_fields=4)).get("password")
        try:
            address = request.client.host if request.client else ""
            token = await self.sign_in.enter(typed if isinstance(typed, str) else "", address)
        except (CredentialsRejected, Busy) as error:
            status = 401 if isinstance(error, CredentialsRejected) else 429
            made = self.sign_in.password_made()
            answer: Response = page(request, None, "sign_in.html", status_code=status, error=error, made=made)
            if isinstance(error, Busy) and error.after:
                answer.headers["Retry-After"] = str(int(error.after) + 1)
            return answer
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    async def sign_out(self, request: Request, session: Session) -> Response:
        self.sign_in.leave(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    # What is shown.

    async def status(self, request: Request, session: Session) -> Response:
        seen = await asyncio.to_thread(look, self.state)
        told = seen.alive.status if seen.alive is not None else None
        found = seen.findings
        return page(
            request,
            session,
            "status.html",
            seen=seen,
            told=told,
            findings=[item for item in found if item.severity is not Severity.INFO],
            notices=[item for item in found if item.severity is Severity.INFO],
            host=socket.gethostname(),
            state=self.state,
            bootstrap_done=sum(step.state is StepState.DONE for step in seen.bootstrap),
            steps_done=sum(step.state is StepState.DONE for step in seen.steps),
        )

    async def log_list(self, request: Request, session: Session) -> Response:
        return page(request, session, "logs.html", logs=await asyncio.to_thread(self.logs.listed))

    async def log(self, request: Request, session: Session) -> Response:
        """The end of it as it is now; the script takes the live lines instead."""
        source = self.logs.find(request.path_params["name"])
        lines: list[str] = []
        with self._streaming():
            async for line in tail.follow(source, self.clock):
                if line is None:
                    break
                lines.append(line)
        return page(request, session, "log.html", source=source, lines=lines)

    async def log_live(self, request: Request, session: Session) -> Response:
        source = self.logs.find(request.path_params["name"])
        return self._stream(self._live(request, source), "text/event-stream", {"X-Accel-Buffering": "no"})

    async def log_download(self, request: Request, session: Session) -> Response:
        source = self.logs.find(request.path_params["name"])
        if source.path is None:
            chunks = self._journal(source)
        else:
            try:
                file = await asyncio.to_thread(source.open)
            except OSError as error:
                raise NotFound(f"It cannot be read: {error.strerror or error}.", reason="log-unreadable") from None
            chunks = _chunks(file)
        name = f"{socket.gethostname()}-{source.name}.log"
        given = "".join(symbol if symbol.isascii() and (symbol.isalnum() or symbol in ".-") else "_" for symbol in name)
        return self._stream(
            chunks, "application/octet-stream", {"Content-Disposition": f'attachment; filename="{given}"'}
        )

    async def bundle(self, request: Request, session: Session) -> Response:
        """All of it in one archive, redacted, as `pcg bundle` makes it."""
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="pcg-bundle-")
        try:
            with self._streaming():
                made = await create_bundle(
                    Path(folder.name),
                    self.clock.now(),
                    documents=await asyncio.to_thread(documents_of_state, self.state),
                    known=await asyncio.to_thread(secrets_of_state, self.state),
                )
            file = await asyncio.to_thread(made.path.open, "rb")
        finally:
            # The open file stays readable; nothing of it is left on the disk.
            await asyncio.to_thread(folder.cleanup)
        headers = {"Content-Disposition": f'attachment; filename="{made.path.name}"'}
        return self._stream(_chunks(file), "application/gzip", headers)

    async def task_list(self, request: Request, session: Session) -> Response:
        return page(request, session, "tasks.html", runs=self.tasks)

    async def task_start(self, request: Request, session: Session) -> Response:
        name = request.path_params["name"]
        with contextlib.suppress(Busy):  # pressed twice: the one that runs is shown
            self.tasks.start(name)
        return RedirectResponse(f"/tasks#{name}", 303)

    # Streams.

    def _stream(self, chunks: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str]) -> Response:
        async def counted() -> AsyncGenerator[bytes, None]:
            try:
                async with contextlib.aclosing(chunks) as given:
                    async for chunk in given:
                        yield chunk
            finally:
                self.streams -= 1

        self._count()
        return StreamingResponse(counted(), media_type=media_type, headers=headers)

    @contextlib.contextmanager
    def _streaming(self) -> Iterator[None]:
        self._count()
        try:
            yield
        finally:
            self.streams -= 1

    def _count(self) -> None:
        if self.streams >= MAXIMUM_STREAMS:
            raise Busy(
                f"{MAXIMUM_STREAMS} logs are being read already.",
                reason="too-many-streams",
                remedy=["Close a tab that shows a log, then load this page again."],
                after=5.0,
            )
        self.streams += 1

    async def _live(self, request: Request, source: LogSource) -> AsyncGenerator[bytes, None]:
        """Ends with the session or the process."""
        token, asked = request.cookies.get(COOKIE, ""), self.clock.monotonic()
        yield b": lines follow\n\n"
        async with contextlib.aclosing(tail.follow(source, self.clock)) as lines:
            async for line in lines:
                if self.stopping.is_set():
                    return
                if line is not None:
                    yield f"data: {line}\n\n".encode()
                if self.clock.monotonic() - asked >= _PING_SECONDS:
                    asked = self.clock.monotonic()
                    if self.sign_in.session(token) is None:
                        return
                    yield b": still here\n\n"

    async def _journal(self, source: LogSource) -> AsyncGenerator[bytes, None]:
        async with tail.journal(source) as output:
            while chunk := await output.read(_CHUNK):
                yield chunk


async def _chunks(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    """As much as it had when it was asked for: a log that grows must not be a download without an end."""
    with file:
        left = os.fstat(file.fileno()).st_size
        while left > 0 and (chunk := await asyncio.to_thread(file.read, min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
