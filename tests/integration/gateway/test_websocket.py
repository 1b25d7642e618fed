"""The WebSocket as transport, on real sockets: what arrives, what is refused, and which hop failed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Response

from doubles.serving import all_gone
from pcg.errors import ProtocolError, Unreachable
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust
from pcg.network.websocket import open_websocket
from pcg.wire.frames import MAXIMUM_FRAME_BYTES


async def _handle(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "binary":
            await connection.send(b"\x00")
        elif message == "large":
            await connection.send("x" * (MAXIMUM_FRAME_BYTES + 1))
        elif message == "bye":
            await connection.close(1001, "going away")
        else:
            await connection.send(message)


@pytest.fixture
async def server(authority: Any) -> Any:
    def refuse(connection: ServerConnection, request: Any) -> Response | None:
        return connection.respond(403, "no\n") if request.path == "/refused" else None

    async with serve(_handle, "127.0.0.1", 0, ssl=authority.server_context(), process_request=refuse) as running:
        yield f"wss://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    await all_gone(running.server)


async def test_text_goes_there_and_back(server: str, authority: Any) -> None:
    transport = await open_websocket(server, Trust.only_ca(authority.ca).context())
    await transport.send("hello äöü")
    assert await transport.receive() == "hello äöü"
    await transport.close()
    with pytest.raises(Unreachable):
        await transport.send("late")
    with pytest.raises(Unreachable):
        await transport.receive()


@pytest.mark.parametrize("message,error", [("binary", ProtocolError), ("large", Unreachable), ("bye", Unreachable)])
async def test_what_is_no_frame_ends_it(server: str, authority: Any, message: str, error: type[Exception]) -> None:
    transport = await open_websocket(server, Trust.only_ca(authority.ca).context())
    await transport.send(message)
    with pytest.raises(error) as caught:
        await transport.receive()
    if message == "bye":
        assert caught.value.evidence[-1] == "closed with 1001 going away"  # type: ignore[attr-defined]
    await transport.close()


async def test_a_name_that_cannot_be_resolved(authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(Unreachable) as caught:
        await open_websocket("wss://console.invalid", Trust.only_ca(authority.ca).context())
    assert caught.value.fields["hop"] == "name"


async def test_failures_name_their_hop(server: str, authority: Any, unused_tcp_port: int) -> None:
    context = Trust.only_ca(authority.ca).context()
    proxy = f"http://127.0.0.1:{unused_tcp_port}"
    cases = [
        (f"wss://127.0.0.1:{unused_tcp_port}", context, None, "connect"),
        (server, Trust.system().context(), None, "tls"),
        (f"{server}/refused", context, None, "websocket"),
        (server, context, proxy, "proxy"),
    ]
    for url, trust, through, hop in cases:
        with pytest.raises(Unreachable) as caught:
            await open_websocket(url, trust, proxies=Proxies(https=through))
        assert caught.value.fields["hop"] == hop, url
