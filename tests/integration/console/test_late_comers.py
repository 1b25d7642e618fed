"""A console that ends: who is still in the midst of TLS, or has left unseen, is not waited for."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from pcg.clock import SystemClock
from pcg.console import server
from pcg.console.hub import Hub
from pcg.console.settings import Settings
from pcg.network.trust import Trust

from .conftest import EMAIL, PASSWORD
from .test_certificate_renewal import serving


class SlowClient:
    """Begins TLS, and ends it when it is told to."""

    async def begin(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        assert not self._shaken()
        self.writer.write(self._outgoing.read())
        # The server's whole answer may come in pieces.
        while not self._shaken():
            self._incoming.write(await self.reader.read(65536))

    def end(self) -> None:
        self.writer.write(self._outgoing.read())

    def _shaken(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


async def test_who_ends_tls_while_the_console_ends_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path, port=0, admin_email=EMAIL, admin_password=PASSWORD)
    ending = asyncio.Event()
    whole = server._Server.shutdown

    async def shutdown(self: server._Server, **arguments: Any) -> None:
        asyncio.get_running_loop().call_soon(ending.set)
        await whole(self, **arguments)

    monkeypatch.setattr(server._Server, "shutdown", shutdown)
    silent, late = SlowClient(), SlowClient()

    async def come_late() -> float:
        """Seconds until the server sends it away."""
        await ending.wait()
        began = asyncio.get_running_loop().time()
        late.end()
        while await late.reader.read(65536):
            continue
        return asyncio.get_running_loop().time() - began

    async with serving(settings, SystemClock(), monkeypatch) as served:
        await silent.begin(served.settings.port)
        silent.end()  # known to the server, and never answers: its end takes a moment
        await asyncio.sleep(0.1)
        await late.begin(served.settings.port)
        coming = asyncio.create_task(come_late())
    # Without a word to it the server would have waited for as long as requests under way are given.
    assert await asyncio.wait_for(coming, 10) < server._LAST_SECONDS - 1
    for client in (silent, late):
        client.writer.transport.abort()


async def test_who_left_while_nobody_read_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words wait to be taken when it goes, and the session ends without them."""
    arrived, over = asyncio.Event(), asyncio.Event()

    async def serve(self: Hub, transport: Any, address: str) -> None:
        await transport.receive()
        arrived.set()
        await over.wait()

    monkeypatch.setattr(Hub, "serve", serve)
    ended = server._Server.shutdown

    async def shutdown(self: server._Server, **arguments: Any) -> None:
        asyncio.get_running_loop().call_later(0.05, over.set)  # the server has told every connection by then
        await ended(self, **arguments)

    monkeypatch.setattr(server._Server, "shutdown", shutdown)
    settings = Settings(data=tmp_path, port=0, admin_email=EMAIL, admin_password=PASSWORD)
    async with serving(settings, SystemClock(), monkeypatch) as served:
        context = Trust.only_ca(served.service.certificates.ca_pem).context()
        url = f"wss://127.0.0.1:{served.settings.port}/gateway/v1/session"
        connection = await connect(url, ssl=context, ping_interval=None, proxy=None)
        for words in ("first", "second", "third"):
            await connection.send(words)
        await arrived.wait()
        connection.transport.abort()
        await connection.wait_closed()
        await asyncio.sleep(0.1)  # its end has come to the server, where nobody looks at it
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < server._LAST_SECONDS - 1
