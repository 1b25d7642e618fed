"""The host beside the console from which gateways fetch artifacts: a mirror with a certificate of the edge's own CA.

It answers with what the console itself holds, ranges included, so nothing has to be kept in step. Used by tests, and by
drills through `edge`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import replace

from pcg.clouds.lab.edge.authority import Authority
from pcg.clouds.lab.edge.http_head import Head, read_head
from pcg.clouds.lab.edge.listener import Listener
from pcg.clouds.lab.edge.streams import accepted, drop
from pcg.clouds.lab.edge.upstream import Upstream

FAULTS = {
    "forbidden": "every file is forbidden by rule (403)",
    "missing": "no file is there (404)",
    "cut": "the connection ends in the middle of a file",
    "wrong-bytes": "a file's bytes are others than those of the list",
}

_CONSOLES_PATH = "/gateway/v1/artifacts"


class ArtifactHost:
    """`faults` are named as in FAULTS and may be changed at any time; they concern what is asked from then on."""

    def __init__(self, authority: Authority, upstream: Upstream, name: str) -> None:
        self.faults: set[str] = set()
        self.hits: Counter[str] = Counter()
        """how often each fault struck, and `served`: files given as they are"""
        self._authority = authority
        self._upstream = upstream
        self._name = name
        self._listener = Listener(self._serve)

    @property
    def address(self) -> str:
        return self._listener.address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises OSError."""
        self._listener.open(host, port)

    async def stop(self) -> None:
        await self._listener.stop()

    async def _serve(self, connection: socket.socket) -> None:
        client = await accepted(connection, self._authority.server_context(self._name))
        try:
            head = await read_head(client[0])
            refusal = self._refusal()
            if refusal:
                client[1].write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await client[1].drain()
            else:
                await self._give(head, client[1])
        finally:
            await drop(client[1])

    def _refusal(self) -> str:
        for fault, status in (("forbidden", "403 Forbidden"), ("missing", "404 Not Found")):
            if fault in self.faults:
                self.hits[fault] += 1
                return status
        return ""

    async def _give(self, head: Head, writer: asyncio.StreamWriter) -> None:
        reader, upstream = await self._upstream.connect(tls_for="localhost")
        try:
            asked = replace(head, target=f"{_CONSOLES_PATH}{head.target}").without("connection")
            asked = replace(asked, headers=(*asked.headers, ("Connection", "close")))
            upstream.write(asked.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            body = await reader.read(-1)
            await self._write(body, writer)
        finally:
            await drop(upstream)

    async def _write(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        if "wrong-bytes" in self.faults:
            self.hits["wrong-bytes"] += 1
            body = bytes(byte ^ 1 for byte in body)
        if "cut" in self.faults:
            self.hits["cut"] += 1
            body = body[: len(body) // 2]
        else:
            self.hits["served"] += 1
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
