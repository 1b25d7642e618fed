"""A pipe in memory and a mock of the console that speaks the true protocol, for tests in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nacl.signing import SigningKey

from pcg.errors import Unreachable
from pcg.sealing import signatures
from pcg.wire import frames


class PipeEnd:
    """One end of a connection in memory."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self.peer: PipeEnd
        self.closed = False

    async def send(self, text: str) -> None:
        if self.closed or self.peer.closed:
            raise Unreachable("The pipe is closed.", fields={"hop": "websocket"})
        self.peer.inbox.put_nowait(text)

    async def receive(self) -> str:
        text = await self.inbox.get()
        if text is None:
            raise Unreachable("The pipe is closed.", fields={"hop": "websocket"})
        return text

    async def close(self) -> None:
        """What is under way in either direction is lost, as with a real connection."""
        self.closed = True
        for end in (self, self.peer):
            while not end.inbox.empty():
                end.inbox.get_nowait()
            end.inbox.put_nowait(None)


def pipe() -> tuple[PipeEnd, PipeEnd]:
    one, other = PipeEnd(), PipeEnd()
    one.peer, other.peer = other, one
    return one, other


@dataclass
class ConsoleDouble:
    """A mock of the console's side: proves itself, stores each event once, answers as the protocol says."""

    identity: SigningKey = field(default_factory=SigningKey.generate)
    console_id: str = "console-1"
    gateway_signing: str = ""
    stored: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, int, str]] = field(default_factory=list)
    received: list[frames.Frame] = field(default_factory=list)
    term: int = 0
    dials: list[float] = field(default_factory=list)
    ends: list[PipeEnd] = field(default_factory=list)
    away: bool = False
    acknowledges: bool = True
    delay: float = 0.0
    """seconds that it takes to read a frame: what comes meanwhile is under way"""
    answers_handshake: bool = True
    first: Callable[[frames.Hello], frames.Frame] | None = None
    after_proof: Callable[[frames.Proof], frames.Frame | None] | None = None
    greet: Callable[[PipeEnd], Awaitable[None]] | None = None
    heartbeats: bool = True
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def dial(self) -> PipeEnd:
        self.dials.append(asyncio.get_running_loop().time())
        if self.away:
            raise Unreachable("The console is away.", fields={"hop": "connect"})
        gateway, mine = pipe()
        self.ends.append(mine)
        task = asyncio.create_task(self._serve(mine))
        self.tasks.add(task)
        return gateway

    async def send(self, frame: frames.Frame) -> None:
        await self.ends[-1].send(frames.encode(frame))

    def of_type(self, kind: type[Any]) -> list[Any]:
        return [frame for frame in self.received if isinstance(frame, kind)]

    async def go_away(self) -> None:
        """Connections break, and none can be made until `come_back`."""
        self.away = True
        for end in self.ends:
            await end.close()

    def come_back(self) -> None:
        self.away = False

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _serve(self, end: PipeEnd) -> None:
        try:
            await self._talk(end)
        except Unreachable:
            return

    async def _receive(self, end: PipeEnd) -> frames.Frame:
        frame = frames.decode(await end.receive())
        self.received.append(frame)
        return frame

    async def _talk(self, end: PipeEnd) -> None:
        hello = await self._receive(end)
        assert isinstance(hello, frames.Hello)
        if not self.answers_handshake:
            await asyncio.Event().wait()
        if self.first is not None:
            await end.send(frames.encode(self.first(hello)))
        else:
            nonce = signatures.new_nonce()
            parts = signatures.session_parts(1, hello.gateway_id, self.console_id, hello.nonce, nonce)
            signature = signatures.sign(self.identity, signatures.SESSION_CONSOLE, *parts)
            challenge = frames.Challenge(version=1, console_id=self.console_id, nonce=nonce, signature=signature)
            await end.send(frames.encode(challenge))
            proof = await self._receive(end)
            assert isinstance(proof, frames.Proof)
            assert signatures.verify(self.gateway_signing, proof.signature, signatures.SESSION_GATEWAY, *parts)
            answer = self.after_proof(proof) if self.after_proof else None
            if answer is None:
                self.term = self.term + 1 if proof.term == 0 else proof.term
                stored = {**dict.fromkeys(proof.writers, 0), **self.stored}
                answer = frames.Welcome(term=self.term, stored=stored, time=datetime(2026, 1, 1, tzinfo=UTC))
            await end.send(frames.encode(answer))
            if self.greet is not None:
                await self.greet(end)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(end))
            while True:
                await asyncio.sleep(self.delay)
                frame = await self._receive(end)
                if isinstance(frame, frames.Reports):
                    self._store(frame)
                    if self.acknowledges:
                        await end.send(frames.encode(frames.Acknowledge(stored=dict(self.stored))))

    async def _beat(self, end: PipeEnd) -> None:
        while True:
            await asyncio.sleep(20)
            if self.heartbeats:
                await end.send(frames.encode(frames.Heartbeat()))

    def _store(self, frame: frames.Reports) -> None:
        for report in frame.reports:
            if report.number > self.stored.get(report.writer, 0):
                self.stored[report.writer] = report.number
                self.events.append((report.writer, report.number, report.event.reason))
