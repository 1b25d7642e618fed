"""A TCP relay on loopback, as a router or a firewall between gateway and console is to both: it passes bytes on
unopened, until a fault is put in force. Used by tests, and by drills through `edge`.

`hits` says how many connections each fault struck; of `black-hole`, how many packets that began one were dropped, and
how many that stood had something to carry. Where the kernel refuses or drops before we see anybody, it is asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import dataclass, field

from pcg.clock import Clock, SystemClock
from pcg.clouds.lab.edge.listener import Listener
from pcg.clouds.lab.edge.streams import accepted, break_off, drop, pipe_both_ways
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.errors import NotFound

FAULTS = {
    "refuse": "the port refuses connections; what stands goes on",
    "black-hole": "connections are not answered; what stands carries nothing for as long as it is on",
    "cut": "what stands is reset at once, each new connection after its first bytes",
    "slow": "a long way with a small bandwidth",
    "half-open": "what stands carries nothing any more, for ever, and neither side is told",
    "idle-cut": "a connection that was idle too long carries nothing any more, and neither side is told",
    "upstream-down": "as if nobody listened behind: the port refuses, and what stands is reset",
}
_REFUSE = {"refuse", "upstream-down"}
_CONCERN_THE_PORT = _REFUSE | {"black-hole"}
_PIECE = 2048
"""what a slow way carries at once"""


@dataclass(frozen=True)
class Pace:
    """What the faults are measured by."""

    cut_after: int = 4096
    """bytes, both ways together"""
    latency: float = 0.3
    """seconds, for what comes after a pause"""
    rate: float = 16_000.0
    """bytes a second, each way"""
    idle_seconds: float = 60.0


class Relay:
    def __init__(self, *, pace: Pace | None = None, clock: Clock | None = None) -> None:
        self.faults: set[str] = set()
        """changed by `switch`, because most of them concern what stands"""
        self._struck: Counter[str] = Counter()
        self._refusing: dict[str, int] = {}
        """faults that are on by which the port refuses: how many it had refused before"""
        self.pace = pace or Pace()
        self.clock = clock or SystemClock()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._upstream: Upstream | None = None
        self._listener = Listener(self._serve)
        self._standing: set[_Connection] = set()

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def hits(self) -> Counter[str]:
        refused = {fault: self._listener.refused - before for fault, before in self._refusing.items()}
        return self._struck + Counter(refused) + Counter({"black-hole": self._listener.unanswered})

    def strike(self, fault: str) -> None:
        self._struck[fault] += 1

    async def start(self, upstream: Upstream, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises OSError."""
        self._upstream = upstream
        self._listener.open(host, port)

    async def stop(self) -> None:
        await self._listener.stop()

    async def switch(self, fault: str, *, on: bool) -> None:
        """The same again is harmless. Raises NotFound."""
        if fault not in FAULTS:
            raise NotFound(f"A relay has no fault {fault!r}.", reason="fault-unknown")
        if on == (fault in self.faults):
            return
        (self.faults.add if on else self.faults.discard)(fault)
        if fault in _CONCERN_THE_PORT:
            if on and fault in _REFUSE:
                self._refusing[fault] = self._listener.refused
            await self._behave()
            if not on and fault in _REFUSE:
                self._struck[fault] += self._listener.refused - self._refusing.pop(fault)
        if not on:
            return
        for connection in self._standing:
            if fault == "half-open":
                connection.lose(fault)
            elif fault in ("cut", "upstream-down"):
                connection.break_off(fault)

    async def _behave(self) -> None:
        if "black-hole" in self.faults:
            self.flowing.clear()
        else:
            self.flowing.set()
        if self.faults & _REFUSE:
            self._listener.refuse()
        elif "black-hole" in self.faults:
            await self._listener.leave_unanswered()
        else:
            self._listener.accept()

    async def _serve(self, accepted_socket: socket.socket) -> None:
        reader, writer = await accepted(accepted_socket)
        assert self._upstream is not None
        try:
            other_reader, other_writer = await self._upstream.connect()
        except OSError:
            await drop(writer, reset=True)
            return
        except asyncio.CancelledError:
            await drop(writer)
            raise
        connection = _Connection(self, writer, other_writer)
        self._standing.add(connection)
        reset = True
        try:
            await pipe_both_ways((_Way(connection, reader), writer), (_Way(connection, other_reader), other_writer))
            reset = False
        finally:
            self._standing.discard(connection)
            await drop(writer, reset=reset)
            await drop(other_writer, reset=reset)


@dataclass(eq=False)
class _Connection:
    relay: Relay
    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    carried: int = 0
    lost: bool = False
    """the boxes on the way forgot it: whatever either side sends arrives nowhere"""
    struck: set[str] = field(default_factory=set)
    last: float = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.relay.clock.monotonic()

    def strike(self, fault: str) -> None:
        if fault not in self.struck:
            self.struck.add(fault)
            self.relay.strike(fault)

    def lose(self, fault: str) -> None:
        self.strike(fault)
        self.lost = True

    def break_off(self, fault: str) -> None:
        self.strike(fault)
        for writer in (self.client, self.upstream):
            break_off(writer)


class _Way:
    """One direction of a connection: gives what came, as the faults of the moment let it."""

    def __init__(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        self._connection = connection
        self._relay = connection.relay
        self._reader = reader
        self._travelled = -float("inf")
        """when something last came by the slow way"""

    async def read(self, limit: int) -> bytes:
        self._cut()
        try:
            piece = await self._reader.read(min(limit, _PIECE))
        except OSError:
            await self._arrive()
            raise
        await self._arrive()
        if not piece:
            return piece
        await self._travel(len(piece))
        await self._arrive()
        if "cut" in self._relay.faults:
            piece = piece[: max(1, self._relay.pace.cut_after - self._connection.carried)]
        self._connection.carried += len(piece)
        self._connection.last = self._relay.clock.monotonic()
        return piece

    def _cut(self) -> None:
        connection = self._connection
        if "cut" in self._relay.faults and connection.carried >= self._relay.pace.cut_after:
            connection.break_off("cut")
            raise ConnectionResetError

    async def _arrive(self) -> None:
        """Never returns for what was lost: not even an end comes through."""
        connection, pace = self._connection, self._relay.pace
        if not self._relay.flowing.is_set():
            connection.strike("black-hole")
            await self._relay.flowing.wait()
        idle = self._relay.clock.monotonic() - connection.last
        if "idle-cut" in self._relay.faults and idle > pace.idle_seconds:
            connection.lose("idle-cut")
        if connection.lost:
            await asyncio.Event().wait()

    async def _travel(self, size: int) -> None:
        if "slow" not in self._relay.faults:
            return
        self._connection.strike("slow")
        pace, clock = self._relay.pace, self._relay.clock
        if clock.monotonic() - self._travelled > pace.latency:
            await clock.sleep(pace.latency)
        await clock.sleep(size / pace.rate)
        self._travelled = clock.monotonic()
