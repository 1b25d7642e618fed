"""A gateway's side of the wire by hand, with its true keys: says what a test wants, and hears what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from integration.gateway_console.conftest import Console, Gateway
from pcg.model.records import Event
from pcg.network.trust import Trust
from pcg.sealing import signatures
from pcg.wire import frames


@dataclass
class Speaker:
    connection: ClientConnection
    gateway: Gateway
    said: list[str] = field(default_factory=list)
    """every frame, for whoever replays them"""
    term: int = 0

    async def send(self, frame: frames.Frame | str | bytes) -> None:
        text = frame if isinstance(frame, str | bytes) else frames.encode(frame)
        if isinstance(text, str):
            self.said.append(text)
        await self.connection.send(text)

    async def receive(self) -> frames.Frame:
        async with asyncio.timeout(20):
            return frames.decode(await self.connection.recv())

    async def until(self, kind: type[Any]) -> Any:
        """What comes before it is left aside."""
        while not isinstance(frame := await self.receive(), kind):
            pass
        return frame

    async def hello(self, versions: tuple[int, int] = (1, 1)) -> frames.Frame:
        registration = self.gateway.registration
        self._hello = frames.Hello(
            versions=versions, gateway_id=registration.gateway_id, nonce=signatures.new_nonce()
        )  # fmt: skip
        await self.send(self._hello)
        return await self.receive()

    async def welcome(self, term: int = 0) -> frames.Welcome:
        challenge = await self.hello()
        assert isinstance(challenge, frames.Challenge)
        parts = signatures.session_parts(
            challenge.version, self._hello.gateway_id, challenge.console_id, self._hello.nonce, challenge.nonce
        )
        signature = signatures.sign(self.gateway.keys.signing, signatures.SESSION_GATEWAY, *parts)
        await self.send(frames.Proof(signature=signature, term=term, writer="by hand"))
        welcome = await self.receive()
        assert isinstance(welcome, frames.Welcome), welcome
        self.term = welcome.term
        return welcome

    async def report(self, *numbers: int) -> dict[str, int]:
        """What the console acknowledges."""
        await self.send(frames.Reports(reports=[report_of(number) for number in numbers]))
        stored: dict[str, int] = (await self.until(frames.Acknowledge)).stored
        return stored

    async def refused(self) -> frames.Refusal:
        """The last word, after which the console closes."""
        refusal: frames.Refusal = await self.until(frames.Refusal)
        try:
            async with asyncio.timeout(20):
                await self.connection.recv()
        except ConnectionClosed:
            return refusal
        raise AssertionError("the session goes on after its refusal")


def report_of(number: int, message: str = "") -> frames.Report:
    event = Event(at=datetime.now(UTC), reason="tested", message=message or f"event {number}")
    return frames.Report(writer="by hand", number=number, event=event)


@asynccontextmanager
async def speaking(
    console: Console, gateway: Gateway, *, from_address: str = "127.0.0.1", **options: Any
) -> AsyncIterator[Speaker]:
    """Straight to the console's own port; `from_address` is another one of this machine's."""
    url = f"wss://127.0.0.1:{console.relay.target}/gateway/v1/session"
    context = Trust.only_ca(console.ca).context()
    given = {"ping_interval": None, "proxy": None, "compression": None, "local_addr": (from_address, 0), **options}
    connection = await connect(url, ssl=context, max_size=4 << 20, **given)
    try:
        yield Speaker(connection, gateway)
    finally:
        connection.transport.abort()
        await connection.wait_closed()
