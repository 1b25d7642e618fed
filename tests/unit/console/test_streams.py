"""News reach whoever waits, none is lost between two looks, and everyone is let go at the end."""

from __future__ import annotations

import asyncio

from pcg.console.streams import Streams, Topic


async def test_news_reach_the_gateways_listeners_and_those_of_all():
    streams = Streams()
    with streams.subscribe("a") as one, streams.subscribe("b") as other, streams.subscribe() as all_of_them:
        streams.notify("a", Topic.EVENTS, Topic.STATUS)
        assert await anext(one) == {Topic.EVENTS, Topic.STATUS}
        assert await anext(all_of_them) == {Topic.EVENTS, Topic.STATUS}
        streams.notify("b", Topic.DESIRED)
        assert await anext(other) == {Topic.DESIRED}


async def test_news_while_nobody_looks_are_kept_together():
    streams = Streams()
    with streams.subscribe("a") as news:
        streams.notify("a", Topic.EVENTS)
        streams.notify("a", Topic.EVENTS, Topic.DESIRED)
        assert await anext(news) == {Topic.EVENTS, Topic.DESIRED}
        waiting = asyncio.create_task(anext(news))
        await asyncio.sleep(0)
        assert not waiting.done()
        streams.notify("a", Topic.STATUS)
        assert await waiting == {Topic.STATUS}


async def test_a_look_that_is_given_up_loses_nothing():
    streams = Streams()
    with streams.subscribe("a") as news:
        waiting = asyncio.create_task(anext(news))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        streams.notify("a", Topic.EVENTS)
        assert await anext(news) == {Topic.EVENTS}


async def test_the_end_lets_everyone_go():
    streams = Streams()

    async def listen() -> int:
        with streams.subscribe("a") as news:
            return len([topics async for topics in news])

    listeners = [asyncio.create_task(listen()) for _ in range(3)]
    await asyncio.sleep(0)
    streams.close()
    assert await asyncio.gather(*listeners) == [0, 0, 0]
    assert await listen() == 0, "also whoever comes later"
