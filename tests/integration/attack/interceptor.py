"""Somebody in the middle who opens TLS: shows a certificate of its own CA, reads everything, passes it on to the true
console, and can change it on the way. Whether a client lets it is what the tests are about."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from doubles.serving import all_gone
from pcg.clouds.lab.edge.authority import Authority
from pcg.network.pins import spki_pin


class Interceptor:
    """`said` is what clients sent, `heard` what the console answered: the bytes inside of TLS."""

    def __init__(self, folder: Path, console_port: int) -> None:
        authority = Authority(folder, "Proxy Inspection CA")
        self.ca = authority.pem
        self.pin = spki_pin(self.ca)
        self.said, self.heard = bytearray(), bytearray()
        self.swaps: list[tuple[re.Pattern[bytes], bytes]] = []
        """each of one length, so that no length in a header needs to change"""
        self.swaps_of_said: list[tuple[re.Pattern[bytes], bytes]] = []
        """in what clients say only"""
        self.swapped = 0
        self.handshakes = 0
        """in which a client believed the certificate"""
        self.port = 0
        self._context = authority.server_context("127.0.0.1")
        self._console_port = console_port
        self._sessions: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def swap(self, old: str, new: str) -> None:
        assert len(old) == len(new)
        self.swaps.append((re.compile(re.escape(old.encode())), new.encode()))

    async def inject(self, text: str) -> None:
        """A message of its own in the newest session, as if the console had sent it (RFC 6455, 5.2)."""
        data = text.encode()
        assert 125 < len(data) < 65536
        self._sessions[-1].write(b"\x81\x7e" + len(data).to_bytes(2, "big") + data)
        await self._sessions[-1].drain()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Interceptor]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await all_gone(server)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.handshakes += 1
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        other = None
        try:
            answers, other = await asyncio.open_connection("127.0.0.1", self._console_port, ssl=blind)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, other, self.said, writer))
                group.create_task(self._pass(answers, writer, self.heard, None))
        except* OSError:
            pass  # one of the two ended the connection; the other one's is ended below
        finally:
            for end in (writer, other):
                if end is not None:
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: bytearray,
        client: asyncio.StreamWriter | None,
    ) -> None:
        while data := await reader.read(1 << 16):
            seen += data
            if client is not None and b"/gateway/v1/session" in data:
                self._sessions.append(client)
            for old, new in [*self.swaps, *(self.swaps_of_said if client is not None else [])]:
                before = len(data)
                data, count = old.subn(new, data)
                assert len(data) == before
                self.swapped += count
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
