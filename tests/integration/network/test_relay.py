"""A TCP relay with faults, as a plain client sees it: refused, not answered, reset, slow, or carrying nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from doubles.serving import all_gone
from pcg.clouds.lab.edge.relay import Pace, Relay
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.errors import InvalidInput, NotFound

PACE = Pace(cut_after=1000, latency=0.1, rate=20_000, idle_seconds=0.2)
SILENCE = 0.3
"""seconds after which nothing more is expected"""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Sends back what it gets, and knows how its connections end."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while piece := await reader.read(4096):
                writer.write(piece)
                await writer.drain()
            self.ended.append("end")
        except ConnectionError:
            self.ended.append("reset")
        except asyncio.CancelledError:
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    made = Echo()
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()
    await all_gone(server)


@pytest.fixture
async def relay(echo: tuple[Echo, int]) -> AsyncIterator[Relay]:
    made = Relay(pace=PACE)
    await made.start(Upstream("127.0.0.1", echo[1]))
    yield made
    await made.stop()
    await _until(lambda: echo[0].open == 0)


@asynccontextmanager
async def connected(relay: Relay) -> AsyncIterator[Streams]:
    host, _, port = relay.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _round(streams: Streams, data: bytes = b"hello") -> float:
    """Seconds for the way there and back."""
    began = time.monotonic()
    streams[1].write(data)
    async with asyncio.timeout(5):
        assert await streams[0].readexactly(len(data)) == data
    return time.monotonic() - began


async def _carries_nothing(streams: Streams) -> None:
    streams[1].write(b"hello?")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE):
            assert await streams[0].read(100) == b"nothing may come, and no end either"


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not there():
            await asyncio.sleep(0.01)


async def _works(relay: Relay) -> None:
    async with connected(relay) as streams:
        await _round(streams, bytes(5000))


async def test_it_passes_on_both_ways_until_either_side_ends(echo: tuple[Echo, int], relay: Relay) -> None:
    async with connected(relay) as streams:
        await _round(streams, bytes(range(256)) * 4000)
    await _until(lambda: echo[0].ended == ["end"])
    assert not relay.hits


async def test_an_upstream_that_is_away_is_a_reset(relay: Relay, echo: tuple[Echo, int]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        alone = Relay()
        await alone.start(Upstream("127.0.0.1", free.getsockname()[1]))
        async with connected(alone) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        await alone.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "example.com", ""])
def test_it_leads_nowhere_but_to_this_machine(host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Upstream(host, 443)
    assert caught.value.reason == "edge-upstream"
    for text in (f"{host}:443", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x"):
        with pytest.raises(InvalidInput):
            Upstream.parse(text)
    assert Upstream.parse("localhost:443") == Upstream("127.0.0.1", 443)
    assert Upstream.parse("[::1]:443") == Upstream("::1", 443)


async def test_refuse(relay: Relay) -> None:
    async with connected(relay) as standing:
        await _round(standing)
        await relay.switch("refuse", on=True)
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await _works(relay)
        await _round(standing)
        await relay.switch("refuse", on=True)
        await _until(lambda: relay.hits == {"refuse": 2})
        await relay.switch("refuse", on=False)
        await _round(standing)
        await _works(relay)
    assert relay.hits == {"refuse": 2}


async def test_what_ends_while_the_port_refuses_was_not_refused(relay: Relay) -> None:
    """Whatever ended it: its client, or we."""
    async with connected(relay) as standing, connected(relay) as cut:
        await _round(standing)
        await _round(cut)
        await relay.switch("refuse", on=True)
        assert not relay.hits
        standing[1].close()
        await standing[1].wait_closed()
        await relay.switch("cut", on=True)
        with pytest.raises(ConnectionResetError):
            await cut[0].read(1)
    with pytest.raises(ConnectionRefusedError):
        await _works(relay)
    await _until(lambda: relay.hits["refuse"] == 1)


async def test_where_the_kernel_does_not_tell_whom_it_refused_that_it_does_is_counted(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    await relay.switch("refuse", on=True)
    assert relay.hits == {"refuse": 1}


async def test_nobody_else_gets_the_port_in_the_meantime(relay: Relay) -> None:
    await relay.switch("refuse", on=True)
    host, _, port = relay.address.rpartition(":")
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind((host, int(port)))


async def test_black_hole(relay: Relay) -> None:
    async with connected(relay) as standing:
        await _round(standing)
        await relay.switch("black-hole", on=True)
        assert not relay.hits
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SILENCE):
                    await _works(relay)
        await _carries_nothing(standing)
        assert relay.hits["black-hole"] >= 4, "each that began, and the one that stood"
        await relay.switch("black-hole", on=False)
        # As with TCP itself: what was not acknowledged is sent again.
        async with asyncio.timeout(2):
            assert await standing[0].readexactly(6) == b"hello?"
        await _round(standing)
        await _works(relay)


async def test_who_waits_through_a_black_hole_comes_in_afterwards(relay: Relay) -> None:
    await relay.switch("black-hole", on=True)
    waiting = asyncio.create_task(_works(relay))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await relay.switch("black-hole", on=False)
    async with asyncio.timeout(5):
        await waiting


async def test_cut(relay: Relay, echo: tuple[Echo, int]) -> None:
    async with connected(relay) as standing:
        await _round(standing)
        await relay.switch("cut", on=True)
        with pytest.raises(ConnectionResetError):
            await standing[0].read(1)
    await _until(lambda: echo[0].ended == ["reset"])
    assert relay.hits == {"cut": 1}
    async with connected(relay) as fresh:
        await _round(fresh, bytes(400))
        fresh[1].write(bytes(400))
        with pytest.raises(ConnectionResetError):
            await fresh[0].readexactly(400)
    assert relay.hits == {"cut": 2}
    await relay.switch("cut", on=False)
    await _works(relay)


async def test_a_new_connection_carries_its_first_bytes_before_it_is_cut(relay: Relay) -> None:
    await relay.switch("cut", on=True)
    async with connected(relay) as (reader, writer):
        writer.write(bytes(PACE.cut_after // 2))
        assert await reader.readexactly(PACE.cut_after // 2) == bytes(PACE.cut_after // 2)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    assert relay.hits == {"cut": 1}


async def test_slow(relay: Relay) -> None:
    async with connected(relay) as standing:
        quick = await _round(standing)
        await relay.switch("slow", on=True)
        assert quick < 2 * PACE.latency <= await _round(standing)
        size = int(PACE.rate / 4)
        # The latency once each way, however many pieces it takes; the time of the bytes at least once.
        taken = await _round(standing, bytes(size))
        assert 0.25 + PACE.latency <= taken < 3
        assert relay.hits == {"slow": 1}
        await relay.switch("slow", on=False)
        assert await _round(standing) < 2 * PACE.latency


async def test_half_open(relay: Relay, echo: tuple[Echo, int]) -> None:
    async with connected(relay) as standing:
        await _round(standing)
        await relay.switch("half-open", on=True)
        await _carries_nothing(standing)
        assert relay.hits == {"half-open": 1}
        await _works(relay)
        await _until(lambda: echo[0].ended == ["end"])  # of the new one
        await relay.switch("half-open", on=False)
        await _carries_nothing(standing)
        await _works(relay)
    # Our end of the lost one is not told to the other side.
    await asyncio.sleep(SILENCE)
    assert echo[0].ended == ["end", "end"]
    assert echo[0].open == 1
    assert relay.hits == {"half-open": 1}


async def test_idle_cut(relay: Relay, echo: tuple[Echo, int]) -> None:
    await relay.switch("idle-cut", on=True)
    async with connected(relay) as busy, connected(relay) as idle:
        for _ in range(4):
            await _round(busy)
            await asyncio.sleep(PACE.idle_seconds / 2)
        assert not relay.hits
        await _round(busy)
        await _carries_nothing(idle)
        assert relay.hits == {"idle-cut": 1}
        await relay.switch("idle-cut", on=False)
        await _carries_nothing(idle)
        await _round(busy)  # idle for longer by now, and nobody minds any more
        assert echo[0].ended == []
    assert relay.hits == {"idle-cut": 1}


async def test_an_upstream_that_is_down(relay: Relay, echo: tuple[Echo, int]) -> None:
    async with connected(relay) as standing:
        await _round(standing)
        await relay.switch("upstream-down", on=True)
        with pytest.raises(ConnectionResetError):
            await standing[0].read(1)
        with pytest.raises(ConnectionRefusedError):
            await _works(relay)
        await _until(lambda: relay.hits == {"upstream-down": 2})
        await relay.switch("refuse", on=True)
        await relay.switch("upstream-down", on=False)
        with pytest.raises(ConnectionRefusedError):
            await _works(relay)
        await _until(lambda: relay.hits == {"upstream-down": 2, "refuse": 1})
        await relay.switch("refuse", on=False)
        await _works(relay)
    assert relay.hits == {"upstream-down": 2, "refuse": 1}


async def test_a_fault_that_it_does_not_have(relay: Relay) -> None:
    with pytest.raises(NotFound) as caught:
        await relay.switch("lossy", on=True)
    assert caught.value.reason == "fault-unknown"
