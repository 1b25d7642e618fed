"""The console behind what does its TLS: a small true reverse proxy on loopback, plain HTTP behind it.

Addresses: the proxy is 127.0.0.2, clients have others of 127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from doubles.serving import all_gone
from pcg.clock import SystemClock
from pcg.console import passwords, server
from pcg.console.app import create_app
from pcg.console.auth import SESSION_COOKIE
from pcg.console.certificates import Certificates, open_certificates
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.errors import Unreachable
from pcg.gateway import bootstrap
from pcg.gateway.bootstrap_steps import BootstrapSteps
from pcg.gateway.installer import InstallSettings, check
from pcg.network.trust import Trust
from pcg.network.websocket import Transport, open_websocket
from pcg.sealing import signatures
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames

from .conftest import EMAIL, PASSWORD

PROXY = "127.0.0.2"
HOST = "localhost"


@dataclass
class Ingress:
    """A mock of nginx as docs/console.md sets it up: TLS in front, its own words about the client behind."""

    certificates: Certificates
    target: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.chain, self.certificates.key)
        started = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=context)
        self.port = started.sockets[0].getsockname()[1]
        return started

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        behind = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            inside, behind = await asyncio.open_connection("127.0.0.1", self.target, local_addr=(PROXY, 0))
            behind.write(self._rewritten(head, writer.get_extra_info("peername")[0]))
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass(reader, behind))
                group.create_task(_pass(inside, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # either side may go at any time
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.transport.abort()
            self._tasks.discard(task)

    def _rewritten(self, head: bytes, client: str) -> bytes:
        """As nginx's `$proxy_add_x_forwarded_for` does: what the client says of itself stays, the truth behind it."""
        first, *lines = head.decode("latin1").removesuffix("\r\n\r\n").split("\r\n")
        named = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        said = [value for name, value in named if name.lower() == "x-forwarded-for"]
        kept = [f"{name}: {value}" for name, value in named if not name.lower().startswith("x-forwarded-")]
        if not any(name.lower() == "upgrade" for name, _ in named):
            kept = [line for line in kept if not line.lower().startswith("connection:")] + ["Connection: close"]
        kept += [f"X-Forwarded-For: {', '.join([*said, client])}", "X-Forwarded-Proto: https"]
        return "\r\n".join([first, *kept, "", ""]).encode("latin1")


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


@dataclass
class World:
    ingress: Ingress
    service: Service
    plain_port: int
    addresses: list[str] = field(default_factory=list)
    """from which somebody signed in or opened a session, as the console sees them"""

    def browser(self, address: str = "127.0.0.5", **headers: str) -> httpx.AsyncClient:
        """Somebody outside, at that address."""
        transport = httpx.AsyncHTTPTransport(verify=self.trust.context(), local_address=address)
        headers = {"Origin": self.ingress.url, **headers}
        return httpx.AsyncClient(transport=transport, base_url=self.ingress.url, headers=headers)

    def neighbour(self, address: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """Somebody on the console's machine who goes round the ingress."""
        transport = httpx.AsyncHTTPTransport(local_address=address)
        return httpx.AsyncClient(
            transport=transport, base_url=f"http://127.0.0.1:{self.plain_port}",
            headers={"Origin": self.ingress.url, **headers},
        )  # fmt: skip

    @property
    def trust(self) -> Trust:
        return Trust.only_ca(self.ingress.certificates.ca_pem)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    # The same hash with the least work: what a password costs is not what these tests are about.
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    ingress = Ingress(open_certificates(tmp_path / "ingress", {HOST, "127.0.0.1"}, datetime.now(UTC)))
    outside = await ingress.serve()
    public_ca = tmp_path / "ingress-ca.pem"
    public_ca.write_text(ingress.certificates.ca_pem)
    settings = Settings.from_options(
        listen="127.0.0.1:0", data=tmp_path / "data", public_urls=(ingress.url,), public_ca=public_ca,
        trusted_proxies=(f"{PROXY}/32",),
    )  # fmt: skip
    settings = replace(settings, admin_email=EMAIL, admin_password=PASSWORD)
    assert settings.plain_http
    async with _running(settings) as (service, port, addresses):
        ingress.target = port
        yield World(ingress, service, port, addresses)
        outside.close()
        await ingress.stop()
        await all_gone(outside)


@contextlib.asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[tuple[Service, int, list[str]]]:
    listening, clock, ready = server.bind(settings), SystemClock(), asyncio.Event()
    app = create_app(settings, clock=clock)
    service: Service = app.state.service
    addresses: list[str] = []
    sign_in, serve = service.accounts.sign_in, app.state.hub.serve

    async def watched_sign_in(email: str, password: str, address: str = "") -> object:
        addresses.append(address)
        return await sign_in(email, password, address)

    async def watched_serve(transport: object, address: str) -> None:
        addresses.append(address)
        await serve(transport, address)

    service.accounts.sign_in = watched_sign_in  # type: ignore[method-assign,assignment]
    app.state.hub.serve = watched_serve

    def say_ready() -> str:
        ready.set()
        return ""

    running = asyncio.create_task(
        server.run(
            app, listening, settings, service.certificates,
            clock=clock, ready=say_ready, stopping=service.streams.close, renew=app.state.ca_watch.look,
        )
    )  # fmt: skip
    async with asyncio.timeout(20):
        await ready.wait()
    try:
        yield service, listening.getsockname()[1], addresses
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await running


def _form(**changed: str) -> dict[str, str]:
    return {"email": EMAIL, "password": PASSWORD, "next": "/", **changed}


async def test_a_browser_signs_in_through_it_and_changes_something(world: World):
    async with world.browser() as browser:
        answer = await browser.post("/sign-in", data=_form())
        assert answer.status_code == 303
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith(f"{SESSION_COOKIE}=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(re.split(r";\s*", cookie))
        assert answer.headers["location"] == "/"
        assert (await browser.get("/")).status_code == 200
        page = (await browser.get("/account")).text
        token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
        assert token is not None
        assert (await browser.post("/sign-out", data={"csrf_token": token[1]})).status_code == 303
    assert world.addresses == ["127.0.0.5"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", f"https://{HOST}:1"])
async def test_a_form_of_another_origin_is_refused(world: World, origin: str):
    async with world.browser(Origin=origin) as browser:
        assert (await browser.post("/sign-in", data=_form())).status_code == 403
    assert world.addresses == []


async def test_each_client_is_slowed_down_for_itself(world: World):
    async with world.browser("127.0.0.5") as guesser, world.browser("127.0.0.6") as owner:
        statuses = [(await guesser.post("/sign-in", data=_form(password="wrong"))).status_code for _ in range(12)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert (await owner.post("/sign-in", data=_form())).status_code == 303
    assert set(world.addresses) == {"127.0.0.5", "127.0.0.6"}


async def test_what_a_client_says_of_its_address_counts_for_nothing(world: World):
    said = {"X-Forwarded-For": "10.9.8.7, 127.0.0.2", "X-Forwarded-Proto": "http"}
    async with world.browser("127.0.0.5", **said) as browser:
        assert (await browser.post("/sign-in", data=_form())).status_code == 303
    assert world.addresses == ["127.0.0.5"]


async def test_headers_of_anybody_else_are_ignored(world: World):
    async with world.neighbour("127.0.0.1", **{"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https"}) as client:
        assert (await client.post("/sign-in", data=_form())).status_code == 303
    assert world.addresses == ["127.0.0.1"]
    async with world.neighbour(PROXY, **{"X-Forwarded-For": "10.9.8.7"}) as client:
        assert (await client.post("/sign-in", data=_form())).status_code == 303
    assert world.addresses == ["127.0.0.1", "10.9.8.7"]


async def _hello(transport: Transport) -> frames.Frame:
    hello = frames.Hello(versions=(1, 1), gateway_id="nobody", nonce=signatures.new_nonce())
    await transport.send(frames.encode(hello))
    return frames.decode(await transport.receive())


async def test_a_gateway_pairs_through_it_and_opens_its_session(world: World, tmp_path: Path):
    """The pin that people are shown is that of the ingress's CA, which is what an installer meets."""
    async with world.browser() as browser:
        key = (await browser.post("/api/v1/keys", json={"name": "t"}, auth=(EMAIL, PASSWORD))).json()["key"]
        headers = {"Authorization": f"Bearer {key}"}
        body = {"name": "one", "cloud": "simulated"}
        made = (await browser.post("/api/v1/gateways", json=body, headers=headers)).json()
    assert made["ca_pin"] == world.ingress.certificates.pin
    assert made["endpoint"] == world.ingress.url
    plan = check(InstallSettings(world.ingress.url, tmp_path / "state", made["pairing_code"], made["ca_pin"]))
    lines: list[str] = []
    steps = BootstrapSteps(SystemClock(), lines.append)
    registration = await bootstrap.register(plan, GatewayKeys.generate(), SystemClock(), steps)
    assert registration.gateway_id == made["gateway"]["id"]

    url = f"{world.ingress.url.replace('https', 'wss')}/gateway/v1/session"
    transport = await open_websocket(url, Trust.only_ca(registration.ca).context())
    challenge = await _hello(transport)
    assert isinstance(challenge, frames.Challenge)
    assert challenge.console_id == registration.console_id
    assert world.addresses == ["127.0.0.1"]
    await transport.close()
    # The console's own CA proves nothing here: it is behind the ingress.
    own = (tmp_path / "data" / "ca.pem").read_text().partition("-----BEGIN CERTIFICATE-----")
    with pytest.raises(Unreachable):
        await open_websocket(url, Trust.only_ca("".join(own[1:])).context())


async def test_an_ipv4_proxy_counts_too_where_both_families_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    settings = Settings.from_options(
        listen="[::]:0", data=tmp_path, public_urls=(f"https://{HOST}",), trusted_proxies=(f"{PROXY}/32",)
    )
    settings = replace(settings, admin_email=EMAIL, admin_password=PASSWORD)
    assert not settings.plain_http
    async with _running(settings) as (service, port, addresses):
        context = Trust.only_ca(service.certificates.ca_pem).context()
        for local in (PROXY, "127.0.0.3"):
            transport = httpx.AsyncHTTPTransport(verify=context, local_address=local)
            headers = {"Origin": f"https://{HOST}", "X-Forwarded-For": "10.9.8.7"}
            async with httpx.AsyncClient(transport=transport, headers=headers) as client:
                answer = await client.post(f"https://127.0.0.1:{port}/sign-in", data=_form())
                assert answer.status_code == 303
        assert addresses == ["10.9.8.7", "::ffff:127.0.0.3"]
