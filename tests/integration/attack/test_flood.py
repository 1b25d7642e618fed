"""A gateway with good keys that floods: by events, by answers that nobody asked for, by all at once. Others work, and
nothing of what was acknowledged is lost. How fast one is read: tests/unit/console/test_gateway_limits.py."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from integration.attack.speaker import report_of, speaking
from integration.gateway_console.conftest import Console, Gateway, Make, until
from pcg.model.records import GatewayStatus
from pcg.wire import frames

EVENTS = 100_000


async def _quick(console: Console, other: Gateway, text: str) -> None:
    """The other's event is acknowledged, and a person is answered, while it goes on."""
    other.happen(text)
    async with asyncio.timeout(10):
        while other.store.pending()[1]:
            await asyncio.sleep(0.01)
        assert (await console.client.get("/gateways")).status_code == 200
    assert (await console.messages(other.registration.gateway_id))[-1] == text


async def _quiet(make: Make, name: str) -> Gateway:
    """Registered; its own process is away."""
    gateway = await make(name)
    await gateway.up()
    gateway.running.cancel()
    await asyncio.gather(gateway.running, return_exceptions=True)
    return gateway


async def test_a_hundred_thousand_events_at_once(console: Console, make: Make):
    other, flooder = await make("other"), await _quiet(make, "flooder")
    await other.up()
    acknowledged: dict[str, int] = {}
    async with speaking(console, flooder) as speaker:
        await speaker.welcome()

        async def flood() -> None:
            for start in range(1, EVENTS + 1, 64):
                numbers = range(start, min(start + 64, EVENTS + 1))
                await speaker.connection.send(frames.encode(frames.Reports(reports=[report_of(n) for n in numbers])))

        async def listen() -> None:
            while True:
                frame = await speaker.receive()
                if isinstance(frame, frames.Acknowledge):
                    acknowledged.update(frame.stored)

        tasks = [asyncio.create_task(flood()), asyncio.create_task(listen())]
        for number in range(10):
            await _quick(console, other, f"meanwhile {number}")
            await asyncio.sleep(0.2)
        # It is held back: far from all of it was taken.
        assert 0 < acknowledged["by hand"] < EVENTS // 4
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not any("no session" in line for line in other.said)
    stored = await console.messages(flooder.registration.gateway_id)
    assert stored == [f"event {number}" for number in range(1, len(stored) + 1)]
    assert len(stored) >= acknowledged["by hand"]


@pytest.mark.parametrize("ok", [True, False])
async def test_answers_that_nobody_asked_for(console: Console, make: Make, ok: bool):
    other, flooder = await make("other"), await _quiet(make, "flooder")
    path = f"/gateways/{other.registration.gateway_id}/inventory"

    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return {"datacenters": ["its own"]}

    other.requests["inventory"] = inventory
    await other.up()
    async with speaking(console, flooder) as speaker:
        await speaker.welcome()

        async def flood() -> None:
            for number in range(20_000):
                body = {"datacenters": ["forged"]} if ok else {"reason": "forged"}
                # An id has eight random bytes; of these few are guessed none is right, and none is another gateway's.
                await speaker.send(frames.Response(id=f"{number:016x}", ok=ok, body=body))

        flooding = asyncio.create_task(flood())
        for _ in range(3):
            assert await console.get(path) == {"datacenters": ["its own"]}
        await _quick(console, other, "meanwhile")
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    assert not any("no session" in line for line in other.said)


async def test_an_answer_given_twice_and_one_of_another_gateway_count_for_nothing(console: Console, make: Make):
    asked = await _quiet(make, "asked")
    thief = await _quiet(make, "thief")
    async with speaking(console, asked) as speaker, speaking(console, thief) as forger:
        await speaker.welcome()
        await forger.welcome()
        asking = asyncio.create_task(console.get(f"/gateways/{asked.registration.gateway_id}/inventory"))
        request = await speaker.until(frames.Request)
        # Even with the right id: an answer counts in the session that was asked.
        await forger.send(frames.Response(id=request.id, ok=True, body={"datacenters": ["forged"]}))
        assert await forger.report(1) == {"by hand": 1}
        assert not asking.done()
        for text in ("true", "second", "third"):
            await speaker.send(frames.Response(id=request.id, ok=True, body={"datacenters": [text]}))
        assert await asking == {"datacenters": ["true"]}
        assert await speaker.report(1) == {"by hand": 1}


async def test_questions_that_are_given_up_leave_nothing_open(console: Console, make: Make):
    """People who ask and go away: each question is cancelled at the gateway, which may answer it all the same."""
    asked, other = await _quiet(make, "asked"), await make("other")
    await other.up()
    path = f"/gateways/{asked.registration.gateway_id}/inventory"
    async with speaking(console, asked) as speaker:
        await speaker.welcome()
        for _ in range(20):
            asking = asyncio.create_task(console.client.get(path))
            request = await speaker.until(frames.Request)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await speaker.send(frames.Response(id=request.id, ok=True, body={"datacenters": []}))
            await speaker.send(frames.Response(id=request.id, ok=False, body={}))
        # More than may be open at a time, so each of them was let go.
        asking = asyncio.create_task(console.get(path))
        request = await speaker.until(frames.Request)
        await speaker.send(frames.Response(id=request.id, ok=True, body={"datacenters": ["last"]}))
        assert await asking == {"datacenters": ["last"]}
    await _quick(console, other, "afterwards")


async def test_everything_at_once(console: Console, make: Make):
    """Statuses of a quarter of a mebibyte, heartbeats, events and answers, from three connections of three gateways."""
    other = await make("other")
    flooders = [await _quiet(make, f"flooder-{number}") for number in range(3)]
    await other.up()
    large = "x" * 200_000

    async def flood(gateway: Gateway) -> None:
        async with speaking(console, gateway) as speaker:
            await speaker.welcome()
            for number in range(1, 10_000):
                status = frames.Status(
                    term=speaker.term, revision=number, status=GatewayStatus(generation=1, incarnation=1)
                )  # fmt: skip
                padded = json.dumps({**json.loads(frames.encode(status)), "padding": large})
                for text in (padded, frames.encode(frames.Heartbeat())):
                    await speaker.connection.send(text)
                await speaker.connection.send(frames.encode(frames.Reports(reports=[report_of(number)])))
                await speaker.connection.send(frames.encode(frames.Response(id=str(number), ok=True)))

    tasks = [asyncio.create_task(flood(gateway)) for gateway in flooders]
    for number in range(5):
        await _quick(console, other, f"meanwhile {number}")
        await asyncio.sleep(0.3)
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not any("no session" in line for line in other.said)
    await until(lambda: other.session.connected, "the session that stood")
