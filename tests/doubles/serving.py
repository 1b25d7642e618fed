"""The end of a server in a test's own loop: every connection that it accepted is gone.

Python's `Server.wait_closed` does that from 3.12 on; before, it returns at once. A connection in the midst of TLS,
whose client has just left, would then outlive the loop, and be told as not closed in whichever test comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

SECONDS = 10.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1", *, ssl: SSLContext | None = None) -> AsyncIterator[int]:
    """The port. What is still open at the end is broken."""
    writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            served = serve(reader, writer)
            if served is not None:
                await served
        finally:
            writer.close()

    server = await asyncio.start_server(connected, host, 0, ssl=ssl)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await all_gone(server)


async def all_gone(server: asyncio.Server) -> None:
    """Of a server that accepts no more. Raises TimeoutError where somebody stays."""
    async with asyncio.timeout(SECONDS):
        while server._active_count:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
