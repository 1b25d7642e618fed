"""A port whose behaviour can be changed while it is held: it accepts, refuses, or does not answer at all.

The port is held by a second socket that is bound and never listens, so that nobody else can get it in the meantime,
and what is refused is refused by the kernel itself, which is asked whom it refused, and how much it dropped. For
`relay`, `name_server` and `tls_terminator`, and for what machines are asked at.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

from pcg.clouds.lab.edge.refusals import Refusals

_BACKLOG = 100
_QUEUE_AT = 24
"""of tcp_info: for a listening socket two numbers of 32 bits, how many wait to be accepted, and the limit (tcp(7))"""
_TCP_INFO_SIZE = 104
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
"""the last of them: packets that were dropped at this socket (linux/sock_diag.h)"""
_FILLING = 1.0
"""seconds after which a connection is taken as not answered"""


class Listener:
    """`serve` is called in a task of its own with each accepted socket, which is its to close. What a peer that goes
    away in the middle leaves behind (OSError, an incomplete read, a line that is none) ends it without a word.
    """

    def __init__(self, serve: Callable[[socket.socket], Awaitable[None]]) -> None:
        self.host = ""
        self.port = 0
        self._serve = serve
        self._held: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._refusals: Refusals | None = None
        self._dropped: int | None = None
        """at the socket that leaves unanswered, while filling it; None: there is none"""
        self._dropped_before = 0
        self._arrived: set[socket.socket] = set()
        """accepted, their tasks not begun"""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def refused(self) -> int:
        """Connections, since it was opened."""
        return self._refusals.count if self._refusals else 0

    @property
    def unanswered(self) -> int:
        """Packets that began a connection and were dropped, since it was opened."""
        if self._listening is None or self._dropped is None:
            return self._dropped_before
        return self._dropped_before + _dropped_at(self._listening) - self._dropped

    def open(self, host: str, port: int = 0) -> None:
        """Raises OSError."""
        self._held = _bound(host, port)
        self.host, self.port = host, self._held.getsockname()[1]
        self._refusals = Refusals(self.host, self.port)
        self.accept()

    def accept(self) -> None:
        self._close()
        self._listening = _bound(self.host, self.port)
        self._listening.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._ready, self._listening)

    def refuse(self) -> None:
        """Whoever connects gets ECONNREFUSED; who waited to be accepted is reset."""
        if self._refusals is not None:
            self._refusals.begin()
        self._stop_listening()

    def _close(self) -> None:
        self._stop_listening()
        if self._refusals is not None:
            self._refusals.end()

    def _stop_listening(self) -> None:
        self._dropped_before, self._dropped = self.unanswered, None
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
        while self._fillers:
            self._fillers.pop().close()

    async def leave_unanswered(self) -> None:
        """Whoever connects gets no answer: of a listening socket whose queue is full the kernel drops each SYN."""
        self._close()
        self._listening = _bound(self.host, self.port)
        self._listening.listen(0)
        while not _is_full(self._listening):
            filler = socket.socket(self._listening.family, socket.SOCK_STREAM)
            filler.setblocking(False)
            self._fillers.append(filler)
            try:
                async with asyncio.timeout(_FILLING):
                    await asyncio.get_running_loop().sock_connect(filler, self._listening.getsockname())
            except TimeoutError:
                self._fillers.pop().close()  # it would be tried again
                break  # which is what was wanted
            self._accepted(filler.getsockname())
        self._dropped = _dropped_at(self._listening)

    def release(self) -> None:
        """Hold the port no longer; what was accepted goes on."""
        self._close()
        if self._held is not None:
            self._held.close()

    async def stop(self) -> None:
        self.release()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._arrived:
            self._arrived.pop().close()

    def _ready(self, listening: socket.socket) -> None:
        try:
            connection, peer = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # who came is gone again
        connection.setblocking(False)
        self._accepted(peer)
        self._arrived.add(connection)
        task = asyncio.get_running_loop().create_task(self._run(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accepted(self, client: tuple[str, int]) -> None:
        if self._refusals is not None:
            self._refusals.accepted(client[1])

    async def _run(self, connection: socket.socket) -> None:
        self._arrived.discard(connection)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            await self._serve(connection)


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _dropped_at(listening: socket.socket) -> int:
    return int(_MEMINFO.unpack(listening.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1])


def _is_full(listening: socket.socket) -> bool:
    told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    waiting, limit = struct.unpack_from("II", told, _QUEUE_AT)
    return bool(waiting > limit)
