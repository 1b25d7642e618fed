"""One connection to the console, from hello to its end: mutual challenge, then four things side by side.

    read       desired states, acknowledgements, requests, the ways to end
    report     events from the outbox, in order, a few frames ahead of their acknowledgement
    tell       the status whenever it changed, newest only
    keep       a heartbeat when nothing else was sent; a peer silent for three intervals is dead

Nothing of ours is sent before the console has proven that it is the one that we registered with. Called by the session,
which opens connections again and again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeVar

import pcg
from pcg.clock import Clock
from pcg.errors import Busy, PcgError, ProtocolError, Refused, TryAgain, Unreachable
from pcg.gateway.requests import Handler, Requests
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus
from pcg.network.websocket import Transport
from pcg.sealing import signatures
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames, versions
from pcg.wire.side_by_side import until_one_fails

_F = TypeVar("_F", bound=frames.Hello | frames.Challenge | frames.Welcome)

HANDSHAKE_SECONDS = 30.0
WINDOW = 4
"""frames of reports that may be unacknowledged"""

REPORTS_BYTES = 256 * 1024
"""about the largest frame of reports; one report always fits (see `store.MAXIMUM_EVENT_BYTES`)"""


_TICK = 0.001
"""what is due within a millisecond is due: the rest of a float may be too small for a clock to move by it"""


class Ended(Exception):
    """The console ended the session for good; `frame` says how."""

    def __init__(self, frame: frames.Superseded | frames.Farewell) -> None:
        super().__init__(frame.type)
        self.frame = frame


class StatusSource(Protocol):
    """What the gateway observes. `wait_status_changed` returns the present revision once it is above the given one;
    -1 asks for the present one at once."""

    def status(self) -> GatewayStatus: ...

    async def wait_status_changed(self, revision: int) -> int: ...


@dataclass
class Party:
    """This process of the gateway, the same in all of its connections."""

    gateway_id: str
    console_id: str
    identity_key: str
    keys: GatewayKeys
    store: GatewayStore
    clock: Clock
    status: StatusSource
    want: Callable[[DesiredState], None]
    requests: Mapping[str, Handler]
    status_interval: float = 0.1
    """seconds between two status frames at least: what changes in between is told together"""
    term: int = field(default=0, init=False)
    """0 until the console gave one"""
    revision: int = field(default=0, init=False)
    """of the status frames sent in this term"""


class Connection:
    """`run` never returns: it raises Ended, Unreachable (come again), Busy, ProtocolError or Refused."""

    def __init__(self, party: Party, transport: Transport, connected: Callable[[], None] = lambda: None) -> None:
        self._party = party
        self._transport = transport
        self._connected = connected
        self._sending = asyncio.Lock()
        self._room = asyncio.Event()
        self._unacknowledged: deque[dict[str, int]] = deque()
        self._interval = frames.HEARTBEAT_SECONDS
        self._sent = self._heard = party.clock.monotonic()

    async def run(self) -> NoReturn:
        welcome = await self._handshake()
        self._party.store.console_has(welcome.stored, self._party.clock.now())
        self._party.term = welcome.term
        self._interval = min(max(welcome.heartbeat_seconds, 0.1), frames.HEARTBEAT_SECONDS)
        self._heard = self._party.clock.monotonic()
        self._connected()
        async with until_one_fails(_rank) as group:
            requests = Requests(self._party.requests, self._party.clock, group, self._send)
            group.create_task(self._read(requests))
            group.create_task(self._report())
            group.create_task(self._tell())
            group.create_task(self._keep_alive())
            group.create_task(self._notice_silence())
        raise AssertionError("the tasks of a connection end only by an exception")

    # The mutual challenge.

    async def _handshake(self) -> frames.Welcome:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                return await self._introduce()
        except TimeoutError:
            raise _silent(HANDSHAKE_SECONDS) from None

    async def _introduce(self) -> frames.Welcome:
        party, nonce = self._party, signatures.new_nonce()
        await self._send(
            frames.Hello(
                versions=(versions.LOWEST, versions.CURRENT),
                gateway_id=party.gateway_id,
                nonce=nonce,
                software=f"pcg {pcg.__version__}",
            )
        )
        challenge = await self._expect(frames.Challenge)
        parts = signatures.session_parts(challenge.version, party.gateway_id, party.console_id, nonce, challenge.nonce)
        self._check_console(challenge, parts)
        signature = signatures.sign(party.keys.signing, signatures.SESSION_GATEWAY, *parts)
        store = party.store
        await self._send(
            frames.Proof(signature=signature, term=party.term, writer=store.writer, writers=store.writers())
        )
        return await self._expect(frames.Welcome, frames.Superseded, frames.Farewell)

    def _check_console(self, challenge: frames.Challenge, parts: tuple[str, ...]) -> None:
        party = self._party
        if not versions.LOWEST <= challenge.version <= versions.CURRENT:
            raise ProtocolError(f"The console chose version {challenge.version}, which was not offered.", "version")
        if challenge.console_id != party.console_id or not signatures.verify(
            party.identity_key, challenge.signature, signatures.SESSION_CONSOLE, *parts
        ):
            raise ProtocolError(
                "What answers is not the console that this gateway is registered with; nothing was sent to it.",
                reason="console-not-proven",
                evidence=[f"expected console {party.console_id}, answered as {challenge.console_id}"],
                remedy=["Check what stands between the gateway and the console, and whether the console was replaced."],
            )

    async def _expect(self, wanted: type[_F], *endings: type[frames.Superseded | frames.Farewell]) -> _F:
        frame = frames.decode(await self._transport.receive())
        if isinstance(frame, wanted):
            return frame
        if isinstance(frame, frames.Refusal):
            raise refused(frame)
        if isinstance(frame, frames.Superseded | frames.Farewell) and isinstance(frame, endings):
            raise Ended(frame)
        raise ProtocolError(f"The console sent {frame.type} where {wanted.__name__.lower()} belongs.", "protocol")

    # Side by side.

    async def _read(self, requests: Requests) -> NoReturn:
        while True:
            frame = frames.decode(await self._transport.receive())
            self._heard = self._party.clock.monotonic()
            match frame:
                case frames.Desired():
                    self._party.want(frame.state)
                case frames.Acknowledge():
                    self._acknowledged(frame.stored)
                case frames.Request():
                    requests.start(frame)
                case frames.Cancel():
                    requests.cancel(frame.id)
                case frames.Heartbeat():
                    pass  # that it was heard is all it says
                case frames.Superseded() | frames.Farewell():
                    raise Ended(frame)
                case frames.Refusal():
                    raise refused(frame)
                case _:
                    raise ProtocolError(f"The console sent {frame.type} within a session.", reason="protocol")

    async def _report(self) -> NoReturn:
        store, after = self._party.store, 0
        while True:
            while len(self._unacknowledged) >= WINDOW:
                self._room.clear()
                await self._room.wait()
            position, reports = store.pending(after)
            if not reports:
                await store.wait_appended()
                continue
            for batch in _batches(reports):
                self._unacknowledged.append({report.writer: report.number for report in batch})
                await self._send(frames.Reports(reports=batch))
            after = position

    def _acknowledged(self, stored: dict[str, int]) -> None:
        self._party.store.acknowledge(stored)
        while self._unacknowledged and all(
            stored.get(writer, 0) >= number for writer, number in self._unacknowledged[0].items()
        ):
            self._unacknowledged.popleft()
            self._room.set()

    async def _tell(self) -> NoReturn:
        party, revision = self._party, -1
        told: GatewayStatus | None = None
        while True:
            revision = await party.status.wait_status_changed(revision)
            status = party.status.status()
            if status != told:
                party.revision += 1
                await self._send(_fitting(frames.Status(term=party.term, revision=party.revision, status=status)))
                told = status
            await party.clock.sleep(party.status_interval)

    async def _keep_alive(self) -> NoReturn:
        clock = self._party.clock
        while True:
            rest = self._sent + self._interval - clock.monotonic()
            if rest > _TICK:
                await clock.sleep(rest)
            else:
                await self._send(frames.Heartbeat(time=clock.now()))

    async def _notice_silence(self) -> NoReturn:
        clock, most = self._party.clock, 3 * self._interval
        while True:
            rest = self._heard + most - clock.monotonic()
            if rest <= _TICK:
                raise _silent(most)
            await clock.sleep(rest)

    async def _send(self, frame: frames.Frame) -> None:
        text = frames.encode(frame)
        async with self._sending:
            await self._transport.send(text)
            self._sent = self._party.clock.monotonic()


def refused(frame: frames.Refusal) -> PcgError:
    """Final: a person must act. Otherwise it may pass."""
    what = frame.message or f"The console refused the session: {frame.reason}."
    if frame.final:
        return Refused(
            what, frame.reason, remedy=["Look at this gateway in the console; pair it again if it is still wanted."]
        )
    return Busy(what, frame.reason) if frame.reason == "busy" else TryAgain(what, frame.reason)


def _batches(reports: list[frames.Report]) -> list[list[frames.Report]]:
    batches: list[list[frames.Report]] = []
    size = REPORTS_BYTES
    for report in reports:
        length = len(report.model_dump_json())
        if size + length > REPORTS_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(report)
        size += length
    return batches


def _fitting(frame: frames.Status) -> frames.Status:
    """The frame, or when it is too large to be sent without the findings' evidence, which can be fetched otherwise."""
    if len(frame.model_dump_json(by_alias=True).encode()) <= frames.MAXIMUM_FRAME_BYTES:
        return frame
    bare = [finding.model_copy(update={"evidence": finding.evidence[:1]}) for finding in frame.status.findings]
    return frame.model_copy(update={"status": frame.status.model_copy(update={"findings": bare})})


def _silent(seconds: float) -> Unreachable:
    return Unreachable(
        f"The console has been silent for {seconds:g} s.", reason="console-silent", fields={"hop": "websocket"}
    )


def _rank(error: BaseException) -> int:
    """Of what ended several tasks at once: the unforeseen first, then the console's own word, then our errors."""
    if isinstance(error, Ended):
        return 1
    if isinstance(error, Refused):
        return 2
    return 3 if isinstance(error, PcgError) else 0
