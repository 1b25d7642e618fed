"""Lines that are slow, silent or cut when idle, between the real console and a real session: each recovers by itself,
and no event is lost or doubled. Heartbeats are sped up, so that silence is noticed soon; nothing else is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pcg.clouds.lab.edge.relay import Pace, Relay
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.wire import frames

from .conftest import Console, Make, until

HEARTBEAT = 0.4


@pytest.fixture(params=["websocket", "polling"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "HEARTBEAT_SECONDS", HEARTBEAT)


@pytest.fixture
async def line(console: Console) -> AsyncIterator[Relay]:
    """Between the console's public address and itself."""
    relay = Relay(pace=Pace(idle_seconds=2 * HEARTBEAT))
    await relay.start(Upstream("127.0.0.1", console.relay.target))
    console.relay.target = int(relay.address.rpartition(":")[2])
    yield relay
    await relay.stop()


async def _arrived(console: Console, gateway_id: str, messages: list[str]) -> None:
    async with asyncio.timeout(30):
        while [text for text in await console.messages(gateway_id) if text in messages] != messages:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("heartbeats")
async def test_a_line_that_falls_silent_is_left(console: Console, line: Relay, make: Make, way: str) -> None:
    gateway = await make()
    await gateway.up()
    await line.switch("half-open", on=True)
    await line.switch("half-open", on=False)
    gateway.happen("told into the silence")
    await _arrived(console, gateway.registration.gateway_id, ["told into the silence"])
    assert line.hits["half-open"] > 0
    # Polling goes on by a new connection; a WebSocket is one, and must be noticed to be dead.
    assert way == "polling" or any("no session with the console" in text for text in gateway.said)
    gateway.happen("and after")
    await _arrived(console, gateway.registration.gateway_id, ["told into the silence", "and after"])


@pytest.mark.usefixtures("heartbeats")
async def test_heartbeats_keep_a_line_that_cuts_what_is_idle(console: Console, line: Relay, make: Make) -> None:
    await line.switch("idle-cut", on=True)
    gateway = await make()
    await gateway.up()
    await asyncio.sleep(6 * HEARTBEAT)
    gateway.happen("still there")
    await _arrived(console, gateway.registration.gateway_id, ["still there"])


async def test_a_slow_line_carries_it_all(console: Console, line: Relay, make: Make) -> None:
    gateway = await make()
    await gateway.up()
    await line.switch("slow", on=True)
    told = [f"slowly {number}" for number in range(50)]
    for message in told:
        gateway.happen(message)
    await _arrived(console, gateway.registration.gateway_id, told)
    assert line.hits["slow"] > 0


@pytest.mark.usefixtures("heartbeats")
@pytest.mark.parametrize("way", ["websocket"])
async def test_a_line_that_swallows_everything_for_a_while(console: Console, line: Relay, make: Make) -> None:
    gateway = await make()
    await gateway.up()
    await line.switch("black-hole", on=True)
    gateway.happen("in the dark")
    await until(lambda: not gateway.session.connected, "the silence to be noticed")
    await line.switch("black-hole", on=False)
    await _arrived(console, gateway.registration.gateway_id, ["in the dark"])
