"""A mock of an NTP server: answers with this machine's own time, off by as much as a test wants."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SINCE_1900 = 2_208_988_800


class _Server(asyncio.DatagramProtocol):
    def __init__(self, offset: float, stratum: int) -> None:
        self._offset = offset
        self._stratum = stratum

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: object) -> None:
        seconds = int(time.time() + _SINCE_1900 + self._offset)
        packet = struct.pack("!BBbb3I2I", 4 << 3 | 4, self._stratum, 0, 0, 0, 0, 0x52415445, 0, 0)
        self._transport.sendto(packet + data[40:48] + struct.pack("!4I", seconds, 0, seconds, 0), address)  # type: ignore[attr-defined]


@asynccontextmanager
async def time_server(offset: float = 0, stratum: int = 2) -> AsyncIterator[int]:
    """Its port on 127.0.0.1. `offset` in seconds."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(offset, stratum), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
