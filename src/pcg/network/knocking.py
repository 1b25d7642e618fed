"""Whether something listens at an address and port: what a packet filter, a dead service and a dead host differ in.

Asked before an address is given to a machine (`address_in_use`), and by the gateway's steps of a cluster that is
silent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import StrEnum

LIMIT_SECONDS = 1.5


class Knock(StrEnum):
    """What came back."""

    OPEN = "open"
    REFUSED = "refused"
    """or reset: the host is there, and nothing listens"""
    SILENT = "silent"
    """nothing, or an answer that is not the address's own: unreachable says a router or the kernel itself"""


AskAtPort = Callable[[str, int], Awaitable[Knock]]
"""From an address and a TCP port."""


async def knock(address: str, port: int) -> Knock:
    """Connects and hangs up; nothing is sent. Never raises for what the network does."""
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except (ConnectionRefusedError, ConnectionResetError):
        return Knock.REFUSED
    except (OSError, TimeoutError):
        return Knock.SILENT
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Knock.OPEN
