"""The console's rules on a real store without a server, a clock that stands still until it is told, and a mock of a
gateway that speaks the true protocol to the real hub over a line in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pcg.console.auth import Actor
from pcg.console.certificates import open_certificates
from pcg.console.hub import Hub
from pcg.console.pairing import Pairing
from pcg.console.service import Service
from pcg.console.store.database import Database, sqlite_url
from pcg.console.views import PairingView
from pcg.errors import Unreachable
from pcg.model.configuration import CloudKind
from pcg.model.records import Event
from pcg.model.states import Role
from pcg.sealing import encoding, pairing_code, signatures
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames
from pcg.wire.registration import ConsoleIdentity, RegistrationRequest

ADMIN = Actor("admin-id", "admin@example.com", Role.ADMIN)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

_F = TypeVar("_F", bound=frames.Hello | frames.Frame)


class ManualClock:
    """Moves only by `advance`; who sleeps until then is woken in the order of time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self._now - 1000.0)

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, future))
        await future

    async def advance(self, seconds: float) -> None:
        until = self._now + seconds
        while due := sorted((item for item in self._sleepers if item[0] <= until), key=lambda item: item[0]):
            self._now, future = max(self._now, due[0][0]), due[0][1]
            self._sleepers.remove(due[0])
            if not future.done():
                future.set_result(None)
            # Who was woken goes on, and perhaps to sleep again, before the next one wakes.
            for _ in range(20):
                await asyncio.sleep(0)
        self._now = until


class Line:
    """One end of a connection in memory; what was sent before `close` still arrives."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.peer: Line
        self.closed = False

    async def send(self, text: str | bytes) -> None:
        if self.closed or self.peer.closed:
            raise Unreachable("The line is closed.")
        self.peer.inbox.put_nowait(text)

    async def receive(self) -> str | bytes:
        text = await self.inbox.get()
        if text is None:
            raise Unreachable("The line is closed.")
        return text

    async def close(self) -> None:
        self.closed = True
        for end in (self, self.peer):
            end.inbox.put_nowait(None)


def line() -> tuple[Line, Line]:
    one, other = Line(), Line()
    one.peer, other.peer = other, one
    return one, other


@contextlib.asynccontextmanager
async def open_service(folder: Path, clock: Any) -> AsyncIterator[Service]:
    database = Database(sqlite_url(folder / "console.db"))
    await database.migrate()
    certificates = open_certificates(folder, {"localhost"}, clock.now())
    service = Service(database, certificates, "https://console.test", clock)
    try:
        yield service
    finally:
        service.streams.close()
        await database.close()


def registration(
    code: str, keys: GatewayKeys, identity: ConsoleIdentity, *, pairing: Any = None, **changed: Any
) -> RegistrationRequest:
    """As an installer signs it; `changed` replaces fields after they were signed."""
    pairing = pairing or pairing_code.signing_key(code)
    parts = signatures.registration_parts(
        encoding.encode(bytes(pairing.verify_key)),
        keys.public_signing,
        keys.public_sealing,
        identity.console_id,
        identity.identity_key,
        identity.nonce,
    )
    request = RegistrationRequest(
        pairing_key=parts[0],
        signing_key=keys.public_signing,
        sealing_key=keys.public_sealing,
        nonce=identity.nonce,
        pairing_signature=signatures.sign(pairing, signatures.REGISTER, *parts),
        possession_signature=signatures.sign(keys.signing, signatures.REGISTER, *parts),
        installer_name="appliance",
        software="pcg test",
    )
    return request.model_copy(update=changed)


@dataclass
class GatewayDouble:
    """A mock of one process of a gateway."""

    service: Service
    hub: Hub
    gateway_id: str
    keys: GatewayKeys
    writer: str = "writer-1"
    term: int = 0
    end: Line = field(init=False)
    serving: asyncio.Task[None] = field(init=False)

    @classmethod
    async def registered(cls, service: Service, hub: Hub, name: str = "one", **parts: Any) -> GatewayDouble:
        made = await create(service, name)
        keys = GatewayKeys.generate()
        pairing = Pairing(service)
        answer = await pairing.register(registration(made.pairing_code, keys, pairing.identity()))
        return cls(service, hub, answer.gateway_id, keys, **parts)

    def again(self, **parts: Any) -> GatewayDouble:
        """Another process with the same keys."""
        return GatewayDouble(self.service, self.hub, self.gateway_id, self.keys, **parts)

    def open(self, address: str = "192.0.2.1") -> None:
        self.end, theirs = line()
        self.serving = asyncio.create_task(self.hub.serve(theirs, address))

    async def send(self, frame: frames.Frame) -> None:
        await self.end.send(frames.encode(frame))

    async def receive(self) -> frames.Frame:
        async with asyncio.timeout(10):
            return frames.decode(await self.end.receive())

    async def expect(self, kind: type[_F]) -> _F:
        frame = await self.receive()
        assert isinstance(frame, kind), frame
        return frame

    async def prove(self, *, nonce: str = "", keys: GatewayKeys | None = None, **changed: Any) -> frames.Frame:
        """Hello, challenge, proof; what the console answers to it."""
        nonce = nonce or signatures.new_nonce()
        await self.send(frames.Hello(versions=(1, 1), gateway_id=self.gateway_id, nonce=nonce))
        challenge = await self.expect(frames.Challenge)
        parts = signatures.session_parts(1, self.gateway_id, challenge.console_id, nonce, challenge.nonce)
        identity_key = self.service.certificates.identity_key
        assert signatures.verify(identity_key, challenge.signature, signatures.SESSION_CONSOLE, *parts)
        signature = signatures.sign((keys or self.keys).signing, signatures.SESSION_GATEWAY, *parts)
        proof = frames.Proof(signature=signature, term=self.term, writer=self.writer)
        await self.send(proof.model_copy(update=changed))
        return await self.receive()

    async def connect(self) -> frames.Welcome:
        self.open()
        welcome = await self.prove()
        assert isinstance(welcome, frames.Welcome), welcome
        self.term = welcome.term
        return welcome

    async def report(self, *numbers: int) -> frames.Acknowledge:
        reports = [self.report_of(number) for number in numbers]
        await self.send(frames.Reports(reports=reports))
        return await self.expect(frames.Acknowledge)

    def report_of(self, number: int) -> frames.Report:
        event = Event(at=NOON, reason="tested", message=f"event {number}")
        return frames.Report(writer=self.writer, number=number, event=event)

    async def over(self) -> None:
        """The console has closed the line and is done with it."""
        async with asyncio.timeout(10):
            await self.serving

    async def leave(self) -> None:
        await self.end.close()
        await self.over()


async def create(service: Service, name: str = "one") -> PairingView:
    return await service.gateways.create(ADMIN, name, CloudKind.SIMULATED)
