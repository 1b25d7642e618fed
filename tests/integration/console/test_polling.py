"""Long polling as a stranger may use it: bounded, silent about others, and gone when nobody asks."""

from __future__ import annotations

import asyncio

import pytest

from pcg.clock import LoopClock
from pcg.console.polled import SILENT_SECONDS, PolledTransport
from pcg.errors import NotFound, Unreachable


@pytest.mark.looptime
async def test_a_gateway_that_asks_no_more_is_gone() -> None:
    transport = PolledTransport(LoopClock())
    silent = asyncio.create_task(transport.until_silent())
    for _ in range(10):
        assert await transport.take(25) is None
        assert not silent.done()
    await asyncio.sleep(SILENT_SECONDS + 1)
    assert silent.done()


@pytest.mark.looptime
async def test_frames_wait_in_bounded_number_on_both_ways() -> None:
    transport = PolledTransport(LoopClock())
    for number in range(8):
        await transport.send(str(number))
        await transport.put(str(number))
    sending, putting = (asyncio.create_task(work) for work in (transport.send("more"), transport.put("more")))
    await asyncio.sleep(10)
    assert not sending.done()
    assert not putting.done()
    assert [await transport.take(1) for _ in range(9)] == [*map(str, range(8)), "more"]
    assert [await transport.receive() for _ in range(9)] == [*map(str, range(8)), "more"]
    await asyncio.gather(sending, putting)


@pytest.mark.looptime
async def test_the_last_word_can_be_fetched_after_the_end() -> None:
    transport = PolledTransport(LoopClock())
    await transport.send("farewell")
    await transport.close()
    assert await transport.take(25) == "farewell"
    with pytest.raises(NotFound):
        await transport.take(25)
    with pytest.raises(NotFound):
        await transport.put("late")
    with pytest.raises(Unreachable):
        await transport.receive()
