"""WebSocket or long polling: when the session moves over, what is told, and when it moves back. Simulated time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from doubles.console import PipeEnd, pipe
from pcg.clock import LoopClock
from pcg.errors import PcgError, Unreachable
from pcg.gateway.dialing import MOST_SECONDS, TRY_UPGRADE_SECONDS, Dialer
from pcg.model.records import Event, GatewayStatus

pytestmark = pytest.mark.looptime

STATUS = GatewayStatus(generation=0, incarnation=1)


def failing(hop: str) -> Unreachable:
    return Unreachable("It failed.", reason=f"unreachable-{hop}", fields={"hop": hop})


class Network:
    """What lets which way through; counts the tries."""

    def __init__(self) -> None:
        self.upgrade: PcgError | None = None
        self.https: PcgError | None = None
        self.tries: list[str] = []
        self.told: list[Event] = []
        self.dialer = Dialer(self.websocket, self.polling, LoopClock(), self.told.append)

    async def websocket(self) -> PipeEnd:
        return self._open("websocket", self.upgrade)

    async def polling(self) -> PipeEnd:
        return self._open("polling", self.https)

    def _open(self, way: str, error: PcgError | None) -> PipeEnd:
        self.tries.append(way)
        if error is not None:
            raise error
        return pipe()[0]

    async def dial(self) -> PipeEnd | None:
        with suppress(Unreachable):
            return await self.dialer()  # type: ignore[return-value]
        return None

    def blocked(self) -> bool:
        return any(item.name == "websocket-blocked" for item in self.dialer.condition(STATUS).conditions)


async def test_three_upgrades_that_fail_while_https_passes_lead_to_polling() -> None:
    network = Network()
    network.upgrade = failing("websocket")
    assert [await network.dial() for _ in range(2)] == [None, None]
    assert not network.blocked()
    assert await network.dial() is not None
    assert network.tries == ["websocket"] * 3 + ["polling"]
    assert network.blocked()
    assert [event.reason for event in network.told] == ["WebSocketBlocked"]
    assert await network.dial() is not None
    assert network.tries[-1] == "polling"


@pytest.mark.parametrize("hop", ["name", "connect", "proxy", "tls", "http"])
async def test_other_trouble_is_no_reason_to_poll(hop: str) -> None:
    network = Network()
    network.upgrade = failing(hop)
    for _ in range(10):
        assert await network.dial() is None
    assert "polling" not in network.tries


async def test_polling_that_does_not_pass_either_blames_no_websocket() -> None:
    network = Network()
    network.upgrade, network.https = failing("websocket"), failing("connect")
    for _ in range(6):
        assert await network.dial() is None
    assert not network.blocked()
    assert network.told == []
    network.upgrade = network.https = None
    assert await network.dial() is not None


async def test_upgrades_that_failed_while_nothing_passed_do_not_count_once_all_passes() -> None:
    network = Network()
    network.upgrade, network.https = failing("websocket"), failing("http")
    for _ in range(4):
        assert await network.dial() is None
    network.upgrade = network.https = None
    assert await network.dial() is not None
    assert network.tries[-1] == "websocket" and not network.blocked()


async def test_an_upgrade_that_passes_and_carries_nothing_counts_as_failed() -> None:
    network = Network()
    for _ in range(3):
        assert await network.dial() is not None
        network.dialer.failed(failing("websocket"))
    await network.dial()
    assert network.tries[-1] == "polling"


async def test_a_welcome_between_failures_begins_the_count_anew() -> None:
    network = Network()
    for _ in range(5):
        await network.dial()
        network.dialer.failed(failing("websocket"))
        await network.dial()
        network.dialer.welcomed()
    assert "polling" not in network.tries


async def test_now_and_then_the_upgrade_is_tried_and_the_session_moves_over_when_it_passes() -> None:
    network = Network()
    network.upgrade = failing("websocket")
    for _ in range(2):
        await network.dial()
    current = await network.dial()
    assert current is not None
    running = asyncio.create_task(network.dialer.run())
    before = len(network.tries)
    await asyncio.sleep(3 * TRY_UPGRADE_SECONDS + 1)
    assert network.tries[before:] == ["websocket", "websocket"]
    assert not current.closed
    network.upgrade = None
    await asyncio.sleep(4 * TRY_UPGRADE_SECONDS)
    assert current.closed, "the session ends, and dials"
    before = len(network.tries)
    assert await network.dial() is not None
    assert network.tries[before:] == [], "the WebSocket that got through is used"
    assert not network.blocked()
    assert [event.reason for event in network.told] == ["WebSocketBlocked", "WebSocketPasses"]
    await asyncio.sleep(10 * MOST_SECONDS)
    assert network.tries[before:] == [], "nothing more to try"
    running.cancel()


async def test_the_tries_become_rarer() -> None:
    network = Network()
    network.upgrade = failing("websocket")
    for _ in range(3):
        await network.dial()
    running = asyncio.create_task(network.dialer.run())
    before = len(network.tries)
    await asyncio.sleep(24 * MOST_SECONDS)
    # 2, 4, 8, 16 and 32 minutes, then every hour.
    assert len(network.tries) - before == 5 + 22
    running.cancel()
