"""HTTP and WebSocket through a proxy, one connection at a time: TLS to the proxy, upgrades left out, strange peers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from doubles.serving import all_gone
from doubles.serving import serving as served_by
from integration.gateway.conftest import Authority
from pcg.clouds.lab.edge.forward_proxy import FAULTS, ForwardProxy
from pcg.errors import Unreachable
from pcg.network.http import call, http_client
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust
from pcg.network.websocket import open_websocket

from .conftest import CREDENTIALS, PASSWORD, USER

Open = Callable[[Proxies, Trust], Awaitable[None]]


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    """A server that speaks WebSocket, and answers 200 to /plain."""

    def plain(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(200, "plain\n") if request.path == "/plain" else None

    async with serve(_echo, "127.0.0.1", 0, ssl=authority.server_context(), process_request=plain) as running:
        yield running.sockets[0].getsockname()[1]
    await all_gone(running.server)


@pytest.fixture(params=["http", "websocket"])
def reach(request: pytest.FixtureRequest, port: int) -> Open:
    """Connect once, by the one library or the other."""

    async def by_http(proxies: Proxies, trust: Trust) -> None:
        async with http_client(trust, base_url=f"https://127.0.0.1:{port}", proxies=proxies) as client:
            assert (await call(client, "GET", "/plain")).text == "plain\n"

    async def by_websocket(proxies: Proxies, trust: Trust) -> None:
        transport = await open_websocket(f"wss://127.0.0.1:{port}/", trust.context(), proxies=proxies)
        try:
            await transport.send("there")
            assert await transport.receive() == "there"
        finally:
            await transport.close()

    return by_http if request.param == "http" else by_websocket


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[ForwardProxy]:
    folder.mkdir()
    made = ForwardProxy(folder, user=USER, password=PASSWORD, **settings)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def _fails(reach: Open, proxies: Proxies, trust: Trust) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        await reach(proxies, trust)
    told = "\n".join([caught.value.what, *caught.value.evidence, *caught.value.remedy])
    assert PASSWORD not in told
    assert CREDENTIALS not in told
    return caught.value


async def test_a_proxy_by_tls(reach: Open, authority: Authority, tmp_path: Path) -> None:
    trust = Trust.only_ca(authority.ca)
    async with serving(tmp_path / "edge", tls=True) as proxy:
        url = f"https://{CREDENTIALS}@{proxy.address}"
        await reach(Proxies(https=url, ca=proxy.authority.pem), trust)
        assert proxy.hits["connect"] == 1

        unknown = await _fails(reach, Proxies(https=url), trust)
        assert (unknown.fields["hop"], unknown.reason) == ("proxy", "proxy-tls")
        assert "--proxy-ca-file" in unknown.remedy[0]

        # The console's CA proves the console, and not a proxy; a proxy's CA proves no console.
        assert (await _fails(reach, Proxies(https=url, ca=authority.ca), trust)).reason == "proxy-tls"
        other = await _fails(reach, Proxies(https=url, ca=proxy.authority.pem), Trust.only_ca(proxy.authority.pem))
        assert (other.fields["hop"], other.reason) == ("tls", "tls-other-ca")

        plain = await _fails(reach, Proxies(https=url.replace("https:", "http:")), trust)
        assert plain.fields["hop"] == "proxy"

        proxy.faults.add("refuse")
        refused = await _fails(reach, Proxies(https=url, ca=proxy.authority.pem), trust)
        assert refused.reason == "proxy-refuses"


async def test_tls_to_a_proxy_that_speaks_none(reach: Open, authority: Authority, proxy: ForwardProxy) -> None:
    error = await _fails(reach, Proxies(https=f"https://{proxy.address}"), Trust.only_ca(authority.ca))
    assert error.reason == "proxy-tls"
    assert "give it with http://" in error.remedy[0]


async def test_the_issuer_of_an_interceptor_is_named(reach: Open, authority: Authority, proxy: ForwardProxy) -> None:
    proxies, trust = Proxies(https=f"http://{CREDENTIALS}@{proxy.address}"), Trust.only_ca(authority.ca)
    proxy.faults.add("intercept-tls")
    error = await _fails(reach, proxies, trust)
    assert (error.fields["hop"], error.reason) == ("tls", "tls-other-ca")
    assert "issued by: CN=Edge Inspection CA" in error.evidence
    assert f"through the proxy http://{proxy.address}" in error.evidence
    proxy.faults.clear()
    await reach(proxies, trust)


async def test_an_upgrade_that_is_left_out(port: int, proxy: ForwardProxy) -> None:
    """Only one who trusts the interceptor comes that far; then it is the WebSocket that fails, and HTTPS does not."""
    proxies, trust = (
        Proxies(https=f"http://{CREDENTIALS}@{proxy.address}"),
        Trust.only_ca(proxy.authority.pem),
    )
    proxy.faults.add("drop-upgrade")
    with pytest.raises(Unreachable) as caught:
        await open_websocket(f"wss://127.0.0.1:{port}/", trust.context(), proxies=proxies)
    assert caught.value.fields["hop"] == "websocket"
    assert proxy.hits["drop-upgrade"] == 1
    async with http_client(trust, base_url=f"https://127.0.0.1:{port}", proxies=proxies) as client:
        assert (await call(client, "GET", "/plain")).status_code == 200

    proxy.faults = {"intercept-tls"}
    transport = await open_websocket(f"wss://127.0.0.1:{port}/", trust.context(), proxies=proxies)
    await transport.send("there")
    assert await transport.receive() == "there"
    await transport.close()


async def test_a_target_behind_the_proxy_that_is_away(
    authority: Authority, proxy: ForwardProxy, unused_tcp_port: int
) -> None:
    proxies = Proxies(https=f"http://{CREDENTIALS}@{proxy.address}")
    async with http_client(
        Trust.only_ca(authority.ca), base_url=f"https://127.0.0.1:{unused_tcp_port}", proxies=proxies
    ) as client:
        with pytest.raises(Unreachable) as caught:
            await call(client, "GET", "/")
    assert (caught.value.fields["hop"], caught.value.reason) == ("proxy", "proxy-cannot-connect")
    assert "x-squid-error: ERR_CONNECT_FAIL 111" in caught.value.evidence


async def test_a_proxy_that_is_away(reach: Open, authority: Authority, unused_tcp_port: int) -> None:
    proxies = Proxies(https=f"http://{CREDENTIALS}@127.0.0.1:{unused_tcp_port}")
    error = await _fails(reach, proxies, Trust.only_ca(authority.ca))
    assert (error.fields["hop"], error.reason) == ("proxy", "unreachable-proxy")


async def test_a_proxy_whose_name_cannot_be_resolved(
    reach: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    async def resolve(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    error = await _fails(reach, Proxies(https="http://proxy.invalid:3128"), Trust.only_ca(authority.ca))
    assert (error.fields["hop"], error.reason) == ("proxy", "proxy-name")


async def test_absolute_uris_are_forwarded(proxy: ForwardProxy) -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        body = b"x" * 300_000
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with served_by(answer) as port:
        url = f"http://127.0.0.1:{port}"
        proxies = Proxies(http=f"http://{CREDENTIALS}@{proxy.address}")
        async with http_client(Trust.system(), base_url=url, proxies=proxies) as client:
            assert len((await client.get("/file?part=1")).content) == 300_000
    assert seen[0].startswith(b"GET /file?part=1 HTTP/1.1\r\n")
    assert b"proxy-authorization" not in seen[0].lower()
    assert proxy.hits == {"forward": 1}


@pytest.mark.parametrize("banner", [b"220 mail.example ESMTP\r\n", b"SSH-2.0-x\r\n\r\n", b"\x00" * 4000, b""])
async def test_another_service_than_a_proxy(reach: Open, authority: Authority, banner: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with served_by(greet) as port:
        address = f"127.0.0.1:{port}"
        error = await _fails(reach, Proxies(https=f"http://{CREDENTIALS}@{address}"), Trust.only_ca(authority.ca))
    assert error.fields["hop"] == "proxy"
    assert error.reason in ("proxy-is-none", "proxy-closed")


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"CONNECT nowhere HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x00"],
)
async def test_the_proxy_survives_what_is_no_request(tmp_path: Path, sent: bytes) -> None:
    async with serving(tmp_path / "edge") as proxy:
        host, _, number = proxy.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(number))
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()


async def test_the_proxy_connects_to_loopback_only(tmp_path: Path) -> None:
    async with serving(tmp_path / "edge", names={"away.example": "192.0.2.1"}) as proxy:
        for target in ("192.0.2.1:443", "away.example:443"):
            proxies = Proxies(https=f"http://{CREDENTIALS}@{proxy.address}")
            with pytest.raises(Unreachable) as caught:
                await open_websocket(f"wss://{target}/", ssl.create_default_context(), proxies=proxies)
            assert caught.value.reason == "proxy-refuses"


async def test_what_it_answers_names_no_fault(proxy: ForwardProxy) -> None:
    host, _, number = proxy.address.partition(":")
    for fault in sorted(FAULTS):
        proxy.faults = {fault}
        reader, writer = await asyncio.open_connection(host, int(number))
        writer.write(b"CONNECT console.example:443 HTTP/1.1\r\n\r\n")
        told = (await reader.read()).decode("latin-1").lower()
        writer.close()
        await writer.wait_closed()
        assert not [name for name in FAULTS if name in told]


@pytest.mark.parametrize("through", ["direct", "proxy"])
async def test_a_request_that_is_cancelled_in_the_midst_of_tls_closes_its_connection(
    through: str, authority: Authority, proxy: ForwardProxy
) -> None:
    began, over = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # of the first words of TLS, which nobody answers
        began.set()
        while await reader.read(4096):
            continue
        over.set()
        writer.transport.abort()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    proxies = Proxies(https=f"http://{CREDENTIALS}@{proxy.address}") if through == "proxy" else Proxies()
    trust = Trust.only_ca(authority.ca)
    async with listening, http_client(trust, base_url=f"https://127.0.0.1:{port}", proxies=proxies) as client:
        asking = asyncio.create_task(call(client, "GET", "/"))
        await began.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:  # with the frames of its traceback
            await asking
        async with asyncio.timeout(5):
            await over.wait()
        assert kept.value is not None
