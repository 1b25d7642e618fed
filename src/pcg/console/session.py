"""The console's side of one session, from hello to its end (docs/protocol.md, The session).

    handshake   hello → challenge → proof; nothing is read from the store before the proof came
    read        reports, status, answers; each stored before it is acknowledged
    want        the desired state at first and whenever it changed; notices too that the gateway was deleted or replaced
    keep        a heartbeat when nothing else was sent; a gateway silent for three intervals is dead
    remember    when the gateway was last seen, once an hour

Made by the hub for every connection; it speaks through a `Transport`, so tests need no socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn, Protocol, TypeVar

from pcg.console.endings import Ended, out_of_order, proven_peer, refusal_of, unknown_gateway
from pcg.console.reports import Peer, StatusOutcome
from pcg.console.requests import OpenRequests
from pcg.console.service import Service
from pcg.console.store.whole import whole
from pcg.console.streams import Subscription, Topic
from pcg.errors import Conflict, ProtocolError, Unreachable
from pcg.sealing import signatures
from pcg.wire import frames, versions
from pcg.wire.side_by_side import until_one_fails

_log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=frames.Hello | frames.Proof)

HANDSHAKE_SECONDS = 10.0
"""an unauthenticated connection ends after it"""

SEND_SECONDS = 3 * frames.HEARTBEAT_SECONDS
"""a gateway that takes nothing for so long is dead, whatever it sends"""

REMEMBER_SECONDS = 3600.0

_MAXIMUM_INTEGER = 2**53
"""terms, revisions and numbers above it would not fit the store's columns, nor JSON elsewhere"""

_HIGHEST_TOLD = _MAXIMUM_INTEGER // 2
"""of a gateway's generation and incarnation, which a restored console may take for its own and go on counting"""

_TICK = 0.001
"""what is due within a millisecond is due: the rest of a float may be too small for a clock to move by it"""


class Transport(Protocol):
    """`send` and `receive` raise Unreachable when the connection is gone."""

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str | bytes: ...

    async def close(self) -> None: ...


class Registry(Protocol):
    """The hub, as a session sees it."""

    def enter(self, session: Session) -> None:
        """Raises Ended when a process with a higher term is connected; ends those with a lower one."""

    async def leave(self, session: Session) -> None: ...


class Session:
    """`run` serves the connection until its end. `gateway_id` and `term` are set once the gateway has proven itself."""

    def __init__(
        self, service: Service, registry: Registry, transport: Transport, proven: Callable[[], None] = lambda: None
    ) -> None:
        self.gateway_id = ""
        self.term = 0
        self.deleted = False
        """it was sent its farewell: nothing of it is to be remembered"""
        self.requests = OpenRequests(self._send)
        self._service = service
        self._clock = service.clock
        self._registry = registry
        self._transport = transport
        self._proven = proven
        self._signing_key = ""
        self._sending = asyncio.Lock()
        self._verdict: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._sent = self._heard = self._clock.monotonic()
        self._size = 0
        """of the last frame that was received"""

    async def run(self) -> None:
        """Never raises for what the peer does, or for a store that fails; closes the connection."""
        last: frames.Frame | None = None
        try:
            await self._talk()
        except Ended as ended:
            last = ended.frame
        except Unreachable:
            _log.info("session of gateway %s: the connection is gone", self.gateway_id or "(unproven)")
        except ProtocolError as error:
            last = refusal_of(error)
        except Exception:  # noqa: BLE001 - a store that fails, or a bug, ends this session and nothing else
            _log.exception("session of gateway %s failed", self.gateway_id or "(unproven)")
            last = frames.Refusal(reason="busy", message="The console failed at this session; its log says how.")
        finally:
            await self._close(last)

    def end(self, frame: frames.Superseded | frames.Farewell | None) -> None:
        """Called by the hub; the first word counts."""
        if not self._verdict.done():
            self._verdict.set_result(Ended(frame))

    # The handshake.

    async def _talk(self) -> None:
        deadline = asyncio.get_running_loop().time() + HANDSHAKE_SECONDS
        hello = await self._expect(frames.Hello, deadline)
        version = versions.negotiate(*hello.versions)
        if version is None:
            told = f"This console speaks versions {versions.LOWEST} to {versions.CURRENT}."
            raise Ended(frames.Refusal(reason="version", message=told))
        nonce, console = signatures.new_nonce(), self._service.certificates
        parts = signatures.session_parts(version, hello.gateway_id, console.console_id, hello.nonce, nonce)
        signature = signatures.sign(console.identity, signatures.SESSION_CONSOLE, *parts)
        await self._send(
            frames.Challenge(version=version, console_id=console.console_id, nonce=nonce, signature=signature)
        )
        proof = await self._expect(frames.Proof, deadline)
        # Subscribed before anything is read, so that no change can fall between reading and listening.
        with self._service.streams.subscribe(hello.gateway_id) as news:
            mark = await self._service.restored.mark()
            peer = proven_peer(await self._service.reports.peer(hello.gateway_id), proof, parts, mark)
            self._proven()
            self.gateway_id, self._signing_key = peer.id, peer.signing_key or ""
            if peer.farewell:
                raise self._farewell()
            self.term = await self._take_term(proof.term)
            self._registry.enter(self)
            try:
                await self._welcome(hello.software, proof.writers)
                await self._converse(news)
            finally:
                self.requests.close()
                await self._registry.leave(self)

    async def _take_term(self, term: int) -> int:
        if not 0 <= term <= _MAXIMUM_INTEGER:
            raise ProtocolError("A term is out of range.", reason="protocol")
        try:
            return await self._service.reports.take_term(self.gateway_id, term)
        except Conflict as error:
            raise Ended(frames.Superseded(term=int(error.fields["term"]))) from None

    async def _welcome(self, software: str, writers: list[str]) -> None:
        asked = [writer for writer in writers if writer.isprintable()]
        stored = await self._service.reports.stored(self.gateway_id, asked)
        await self._send(frames.Welcome(term=self.term, stored=stored, time=self._clock.now()))
        self._heard = self._clock.monotonic()
        self.requests.begin()
        _log.info("session of gateway %s is up: term %d, software %r", self.gateway_id, self.term, software)

    async def _expect(self, wanted: type[_F], deadline: float) -> _F:
        try:
            async with asyncio.timeout_at(deadline):
                frame = await self._receive()
        except TimeoutError:
            raise ProtocolError(f"The handshake took longer than {HANDSHAKE_SECONDS:g} s.", reason="protocol") from None
        if not isinstance(frame, wanted):
            raise out_of_order(frame)
        return frame

    # Side by side.

    async def _converse(self, news: Subscription) -> None:
        async with until_one_fails(_rank) as group:
            group.create_task(self._read())
            group.create_task(self._want(news))
            group.create_task(self._keep_alive())
            group.create_task(self._notice_silence())
            group.create_task(self._remember())
            group.create_task(self._until_told())

    async def _read(self) -> NoReturn:
        while True:
            frame = await self._receive()
            self._heard = self._clock.monotonic()
            self._service.presence.heard(self.gateway_id, self._clock.now())
            await self._service.allowances.pace(self.gateway_id, frame, self._size)
            match frame:
                case frames.Reports():
                    await self._store(frame)
                case frames.Status():
                    await self._store_status(frame)
                case frames.Response():
                    self.requests.answered(frame)
                case frames.Heartbeat():
                    pass  # that it was heard is all it says
                case frames.Refusal():
                    _log.info("gateway %s ended its session: %s %r", self.gateway_id, frame.reason, frame.message)
                    raise Ended
                case _:
                    raise out_of_order(frame)

    async def _store(self, frame: frames.Reports) -> None:
        for report in frame.reports:
            if report.number > _MAXIMUM_INTEGER or not report.writer.isprintable():
                raise ProtocolError("A report's writer or number cannot be stored.", reason="protocol")
        stored = await whole(self._service.reports.store_reports(self.gateway_id, frame.reports))
        await self._send(frames.Acknowledge(stored=stored))

    async def _store_status(self, frame: frames.Status) -> None:
        if frame.term != self.term or not 0 <= frame.revision <= _MAXIMUM_INTEGER:
            raise ProtocolError("A status is of another term, or its revision is out of range.", reason="protocol")
        incarnations = (frame.status.incarnation, *(machine.incarnation for machine in frame.status.machines))
        if not all(0 <= number <= _HIGHEST_TOLD for number in (frame.status.generation, *incarnations)):
            raise ProtocolError("A status's generation or incarnation is out of range.", reason="protocol")
        outcome = await whole(
            self._service.reports.store_status(self.gateway_id, self.term, frame.revision, frame.status)
        )
        if outcome is StatusOutcome.FAREWELL:
            raise self._farewell()

    async def _want(self, news: Subscription) -> NoReturn:
        reports, told = self._service.reports, None
        while True:
            self._check_still_ours(await whole(reports.peer(self.gateway_id)))
            state = await whole(reports.desired_state(self.gateway_id))
            if state is not None and state != told:
                await self._send(frames.Desired(state=state))
                told = state
            topics: set[Topic] = set()
            while Topic.DESIRED not in topics:
                try:
                    topics = await anext(news)
                except StopAsyncIteration:
                    raise Ended from None  # the console stops

    def _check_still_ours(self, peer: Peer | None) -> None:
        """Raises Ended when the gateway was deleted, or another installer was paired with it."""
        if peer is None:
            raise Ended(unknown_gateway())
        if peer.farewell:
            raise self._farewell()
        if peer.signing_key != self._signing_key:
            raise Ended(frames.Farewell(reason="revoked"))

    async def _keep_alive(self) -> NoReturn:
        while True:
            rest = self._sent + frames.HEARTBEAT_SECONDS - self._clock.monotonic()
            if rest > _TICK:
                await self._clock.sleep(rest)
            else:
                await self._send(frames.Heartbeat(time=self._clock.now()))

    async def _notice_silence(self) -> NoReturn:
        most = 3 * frames.HEARTBEAT_SECONDS
        while True:
            rest = self._heard + most - self._clock.monotonic()
            if rest <= _TICK:
                raise Unreachable(f"The gateway has been silent for {most:g} s.", reason="gateway-silent")
            await self._clock.sleep(rest)

    async def _remember(self) -> NoReturn:
        while True:
            await self._clock.sleep(REMEMBER_SECONDS)
            await whole(self._service.reports.save_last_seen(self.gateway_id))

    async def _until_told(self) -> NoReturn:
        raise await self._verdict

    # The transport.

    async def _receive(self) -> frames.Frame:
        text = await self._transport.receive()
        if isinstance(text, bytes):
            raise ProtocolError("Frames are text messages; this one was binary.", reason="protocol")
        self._size = len(text)
        return frames.decode(text)

    async def _send(self, frame: frames.Frame) -> None:
        text = frames.encode(frame)
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self._transport.send(text)
        except TimeoutError:
            raise Unreachable(f"The gateway took nothing for {SEND_SECONDS:g} s.", reason="gateway-silent") from None
        self._sent = self._clock.monotonic()

    async def _close(self, last: frames.Frame | None) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                if last is not None:
                    _log.info("session of gateway %s ends: %s", self.gateway_id or "(unproven)", last.type)
                    await self._send(last)
                await self._transport.close()
        except (Unreachable, TimeoutError) as error:
            _log.info("session of gateway %s: its end was not heard: %s", self.gateway_id or "(unproven)", error)

    def _farewell(self) -> Ended:
        self.deleted = True
        return Ended(frames.Farewell(reason="deleted"))


def _rank(error: BaseException) -> int:
    """Of what ended several tasks at once: the unforeseen first, then an end with a last word, then the rest."""
    if isinstance(error, Ended):
        return 1 if error.frame else 2
    return 3 if isinstance(error, ProtocolError | Unreachable) else 0
