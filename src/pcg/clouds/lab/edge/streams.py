"""Bytes from one stream to another, both ways, as everything at the edge passes them on; and how a stream begins, from
an accepted socket, and ends at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from typing import Protocol

_PIECE = 64 * 1024
_HANDSHAKE_SECONDS = 10.0
_LINGER_NOT = struct.pack("ii", 1, 0)


class Source(Protocol):
    """Where a way's bytes come from; a StreamReader is one. b"" is the end."""

    async def read(self, limit: int, /) -> bytes: ...


async def pipe_both_ways(one: tuple[Source, asyncio.StreamWriter], other: tuple[Source, asyncio.StreamWriter]) -> None:
    """Until either side has ended, and the other was given all that it sent. Raises OSError as the streams do."""
    ways = [asyncio.create_task(_pipe(one[0], other[1])), asyncio.create_task(_pipe(other[0], one[1]))]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def accepted(
    connection: socket.socket, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of a socket that was accepted, after the handshake if there is one. Raises OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=tls, ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def drop(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    """End it now, whatever still waits to be written; `reset`: so that the peer sees RST rather than an end."""
    if reset:
        break_off(writer)
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def break_off(writer: asyncio.StreamWriter) -> None:
    """The peer sees RST."""
    connection = writer.get_extra_info("socket")
    if not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


async def _pipe(reader: Source, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    # Aborting would drop what still waits to be written: the end of an answer.
    writer.close()
    await writer.wait_closed()
