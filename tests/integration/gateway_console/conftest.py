"""The real console over TLS on loopback, the gateway's real bootstrap, store and session, and between them a relay
whose connections a test can break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from doubles.serving import all_gone
from pcg.clock import SystemClock
from pcg.console import app as console_app
from pcg.console import passwords, server
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.gateway import bootstrap
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapSteps
from pcg.gateway.connection import Party
from pcg.gateway.identity import Registration
from pcg.gateway.installer import InstallSettings, check
from pcg.gateway.requests import Handler
from pcg.gateway.session import Session
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import Event, GatewayStatus
from pcg.network.polling import open_polling
from pcg.network.trust import Trust
from pcg.network.websocket import Transport, open_websocket
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames

EMAIL = "admin@example.com"
PASSWORD = "correct horse battery"


async def until(condition: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


class Relay:
    """A mock of the network: passes bytes on; `cut` breaks what is open, `cut_after` breaks at a count of bytes."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self.connections = 0
        self.cut_after: int | None = None
        """bytes that a connection carries, both ways together, before it breaks"""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        started = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = started.sockets[0].getsockname()[1]
        return started

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        other = None
        try:
            from_console, other = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(other)
            carried = [0]
            await asyncio.gather(self._pass(reader, other, carried), self._pass(from_console, writer, carried))
        except OSError:
            pass  # the console is away, or the connection was cut: that is what a relay is here for
        finally:
            for end in (writer, other):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carried: list[int]) -> None:
        while data := await reader.read(4096):
            carried[0] += len(data)
            if self.cut_after is not None and carried[0] > self.cut_after:
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@dataclass
class Console:
    """The console as `pcg console serve` runs it, in this process. The relay's address is its public one."""

    data: Path
    relay: Relay
    service: Service = field(init=False)
    pin: str = field(init=False)
    ca: str = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    _running: asyncio.Task[None] = field(init=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.relay.port}"

    async def start(self) -> None:
        settings = Settings(data=self.data, port=0, public_urls=(self.url,), admin_email=EMAIL, admin_password=PASSWORD)
        listening, clock, ready = server.bind(settings), SystemClock(), asyncio.Event()
        settings = replace(settings, port=listening.getsockname()[1])
        app = console_app.create_app(settings, clock=clock)
        self.service = app.state.service

        def say_ready() -> str:
            ready.set()
            return ""

        self._running = asyncio.create_task(
            server.run(
                app,
                listening,
                settings,
                self.service.certificates,
                clock=clock,
                ready=say_ready,
                stopping=self.service.streams.close,
                renew=app.state.ca_watch.look,
            )
        )
        async with asyncio.timeout(20):
            await ready.wait()
        self.relay.target = settings.port
        self.pin, self.ca = self.service.certificates.pin, self.service.certificates.ca_pem
        admin = await self.service.accounts.check_password(EMAIL, PASSWORD)
        key = await self.service.accounts.create_key(admin, f"tests-{settings.port}")
        self.client = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{settings.port}/api/v1",
            verify=Trust.only_ca(self.ca).context(),
            headers={"Authorization": f"Bearer {key.key}"},
        )

    async def stop(self) -> None:
        await self.client.aclose()
        if not self._running.done():
            # The server listens for it as soon as it says that it is ready.
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await self._running

    async def create(self, name: str = "one") -> dict[str, Any]:
        answer = await self.client.post("/gateways", json={"name": name, "cloud": "simulated"})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def messages(self, gateway_id: str) -> list[str]:
        """Of all events, in the console's order."""
        found: list[str] = []
        after: str | None = None
        while True:
            parameters = {"limit": "500"} | ({"after": after} if after else {})
            answer = await self.client.get(f"/gateways/{gateway_id}/events", params=parameters)
            page = answer.json()
            found += [item["message"] for item in page["items"]]
            after = page["next"]
            if after is None:
                return found


class Observed:
    """A mock of the reconciler's status."""

    def __init__(self) -> None:
        self.now = GatewayStatus(generation=0, incarnation=1)
        self._revision = 0
        self._changed = asyncio.Event()

    def status(self) -> GatewayStatus:
        return self.now

    def tell(self, status: GatewayStatus) -> None:
        self.now = status
        self._revision += 1
        self._changed.set()

    async def wait_status_changed(self, revision: int) -> int:
        while self._revision <= revision:
            self._changed.clear()
            await self._changed.wait()
        return self._revision


class Gateway:
    """One process of a gateway, made of the real parts; `run` ends as its session ends."""

    def __init__(
        self, console: Console, folder: Path, *, keys: GatewayKeys | None = None, way: str = "websocket"
    ) -> None:
        self.console = console
        self.way = way
        self.keys = keys or GatewayKeys.generate()
        self.folder = folder
        self.wanted: list[DesiredState] = []
        self.said: list[str] = []
        self.observed = Observed()
        self.requests: dict[str, Handler] = {}
        self.registration: Registration
        self.store: GatewayStore
        self.session: Session
        self.running: asyncio.Task[frames.Superseded | frames.Farewell]

    async def register(self, code: str, **more: Any) -> Registration:
        settings = InstallSettings(
            self.console.url, self.folder, code, self.console.pin, installer_name="appliance", **more
        )
        self.registration = await bootstrap.register(
            check(settings),
            self.keys,
            SystemClock(),
            BootstrapSteps(SystemClock(), self.said.append),
            Backoff(0.01, 0.02),
        )
        return self.registration

    def start(self) -> None:
        self.store = GatewayStore(self.folder / "gateway.db")
        registration = self.registration
        party = Party(
            gateway_id=registration.gateway_id,
            console_id=registration.console_id,
            identity_key=registration.identity_key,
            keys=self.keys,
            store=self.store,
            clock=SystemClock(),
            status=self.observed,
            want=self.wanted.append,
            requests=self.requests,
            status_interval=0.01,
        )
        tries = Backoff(0.01, 0.05, generator=random.Random(1))
        self.session = Session(party, self.dial, say=self.said.append, tries=tries)
        self.running = asyncio.create_task(self.session.run())

    async def dial(self) -> Transport:
        trust, url = Trust.only_ca(self.registration.ca), self.console.url
        if self.way == "polling":
            return await open_polling(url, trust)
        return await open_websocket(f"{url.replace('https', 'wss')}/gateway/v1/session", trust.context())

    async def up(self) -> None:
        await until(lambda: self.session.connected or self.running.done(), "a session")
        assert self.session.connected, self.said

    def happen(self, message: str) -> None:
        self.store.append(Event(at=SystemClock().now(), reason="tested", message=message))

    async def ended(self) -> frames.Superseded | frames.Farewell:
        async with asyncio.timeout(20):
            return await self.running

    async def kill(self) -> None:
        """What is in memory is gone; what is on disk stays."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.store.close()


@contextlib.asynccontextmanager
async def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    # The same hash with the least work: what a password costs is not what these tests are about.
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    relay = Relay()
    listening = await relay.serve()
    made = Console(folder, relay)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        listening.close()
        await relay.stop()
        await all_gone(listening)


@pytest.fixture
async def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    async with serving(tmp_path / "console", monkeypatch) as made:
        yield made


Make = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def way() -> str:
    """How sessions go; a module that holds for both gives its own."""
    return "websocket"


@pytest.fixture
async def make(console: Console, tmp_path: Path, way: str) -> AsyncIterator[Make]:
    """A gateway that has registered; `process_of` another one: a new process of it on the same disk or another."""
    made: list[Gateway] = []

    async def one(name: str = "one", *, process_of: Gateway | None = None, disk: str = "") -> Gateway:
        folder = tmp_path / (disk or name)
        folder.mkdir(exist_ok=True)
        gateway = Gateway(console, folder, keys=process_of.keys if process_of else None, way=way)
        if process_of is None:
            await gateway.register((await console.create(name))["pairing_code"])
        else:
            gateway.registration = process_of.registration
        gateway.start()
        made.append(gateway)
        return gateway

    yield one
    for gateway in made:
        await gateway.kill()
