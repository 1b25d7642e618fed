"""Reports are stored once and in order, paged fast, and streamed as they come."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

from pcg.console.api.event_stream import event_stream
from pcg.model.records import Event
from pcg.model.states import Severity
from pcg.wire.frames import Report

from .conftest import Console, status

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _reports(numbers: range | list[int], writer: str = "w1", **parts: object) -> list[Report]:
    return [
        Report(
            writer=writer,
            number=number,
            event=Event.model_validate({"at": NOON, "reason": "tested", "message": f"event {number}", **parts}),
        )
        for number in numbers
    ]


async def test_each_report_is_stored_once_and_in_order(console: Console):
    gateway_id, _ = await console.registered()
    store = console.service.reports.store_reports
    assert await store(gateway_id, _reports(range(1, 4))) == {"w1": 3}
    assert await store(gateway_id, _reports(range(1, 6))) == {"w1": 5}
    assert await store(gateway_id, _reports([2])) == {"w1": 5}
    assert await store(gateway_id, _reports([1, 9], "w2")) == {"w2": 9}, "numbers missing: the outbox was full"
    page = (await console.client.get(f"/api/v1/gateways/{gateway_id}/events")).json()
    assert [item["message"] for item in page["items"]] == [f"event {n}" for n in (1, 2, 3, 4, 5, 1, 9)]
    assert await console.service.reports.stored(gateway_id) == {"w1": 5, "w2": 9}


async def test_writers_at_the_same_time_store_each_report_once(console: Console):
    gateway_id, _ = await console.registered()
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(console.service.reports.store_reports(gateway_id, _reports(range(1, 33))))
    page = (await console.client.get(f"/api/v1/gateways/{gateway_id}/events")).json()
    assert [item["message"] for item in page["items"]] == [f"event {n}" for n in range(1, 33)]


async def test_an_event_comes_back_whole(console: Console):
    gateway_id, _ = await console.registered()
    parts = {
        "severity": "warning",
        "step": "template",
        "machine": "m",
        "fields": {"a\x00": "b\x00"},
        "message": "x\x00",
    }
    await console.service.reports.store_reports(gateway_id, _reports([1], **parts))
    (item,) = (await console.client.get(f"/api/v1/gateways/{gateway_id}/events")).json()["items"]
    received = item.pop("received_at")
    assert received
    assert item == {
        "position": item["position"], "at": "2026-01-01T12:00:00Z", "severity": "warning", "reason": "tested",
        "message": "x\ufffd", "step": "template", "machine": "m", "fields": {"a\ufffd": "b\ufffd"},
        "finding": None,
    }  # fmt: skip


async def test_paging_meets_every_event_once(console: Console):
    gateway_id, _ = await console.registered()
    other, _ = await console.registered("two")
    for number in range(1, 8):
        await console.service.reports.store_reports(gateway_id, _reports([number]))
        await console.service.reports.store_reports(other, _reports([number]))
    seen, after = [], None
    while True:
        parameters = {"limit": "3", **({"after": after} if after else {})}
        page = (await console.client.get(f"/api/v1/gateways/{gateway_id}/events", params=parameters)).json()
        seen += [item["message"] for item in page["items"]]
        if (after := page["next"]) is None:
            break
    assert seen == [f"event {n}" for n in range(1, 8)]
    latest = await console.service.observations.latest_events(console.admin, gateway_id, 2)
    assert [item.message for item in latest] == ["event 6", "event 7"]


async def test_a_wrong_cursor_or_limit_is_named(console: Console):
    gateway_id, _ = await console.registered()
    for name, value in (("after", "x"), ("after", "-1"), ("after", "9" * 30), ("after", "٣"), ("limit", "0")):
        answer = await console.client.get(f"/api/v1/gateways/{gateway_id}/events", params={name: value})
        assert (answer.status_code, answer.json()["field"]) == (422, name), value


async def test_a_page_far_in_is_as_fast_as_the_first(console: Console):
    gateway_id, _ = await console.registered()
    for start in range(1, 30_001, 2000):
        await console.service.reports.store_reports(gateway_id, _reports(range(start, start + 2000)))
    url = f"/api/v1/gateways/{gateway_id}/events"
    begun = time.perf_counter()
    page = (await console.client.get(url, params={"after": 29_000, "limit": 100})).json()
    assert time.perf_counter() - begun < 0.5
    assert page["items"][0]["message"] == "event 29001"
    async with console.service.database.engine.connect() as connection:
        plan = await connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM events WHERE gateway_id = 'x' AND position > 5 ORDER BY position LIMIT 9"
        )
        told = " ".join(str(row) for row in plan)
    assert "ix_events_gateway_id_position" in told
    assert "TEMP B-TREE" not in told


async def test_the_newest_status_wins(console: Console):
    gateway_id, _ = await console.configured()
    store = console.service.reports.store_status
    told = [((2, 1), "stored"), ((1, 9), "older"), ((2, 1), "older"), ((2, 2), "stored"), ((3, 1), "stored")]
    for (term, revision), outcome in told:
        assert await store(gateway_id, term, revision, status(1)) == outcome


async def test_terms_rise_and_never_fall(console: Console):
    gateway_id, _ = await console.registered()
    take = console.service.reports.take_term
    assert [await take(gateway_id, term) for term in (0, 1, 0, 2, 7, 0)] == [1, 1, 2, 2, 7, 8]
    try:
        await take(gateway_id, 7)
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        assert (type(error).__name__, error.reason, error.fields) == ("Conflict", "superseded", {"term": "8"})
    else:
        raise AssertionError("a lower term was accepted")


class _Listener:
    """Reads a stream of events as a browser would; ends by closing."""

    def __init__(self, console: Console, gateway_id: str, after: int) -> None:
        headers = [(b"authorization", console.client.headers["authorization"].encode())]
        scope = {"type": "http", "method": "GET", "headers": headers, "app": console.app, "path": "/"}
        from starlette.requests import Request

        self._lines = event_stream(Request(scope), console.service, gateway_id, after).body_iterator

    async def next(self) -> dict[str, object]:
        async with asyncio.timeout(5):
            while True:
                message = await anext(self._lines)
                if message.startswith("id: "):
                    number, data = message.split("\n")[:2]
                    event = json.loads(data.removeprefix("data: "))
                    assert number == f"id: {event['position']}"
                    return event

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            async for message in self._lines:
                assert message.startswith(":")
        return True

    async def close(self) -> None:
        await self._lines.aclose()


async def test_a_stream_tells_what_was_and_what_comes(console: Console):
    gateway_id, _ = await console.registered()
    await console.service.reports.store_reports(gateway_id, _reports(range(1, 251)))
    listener = _Listener(console, gateway_id, after=100)
    assert [(await listener.next())["message"] for _ in range(150)] == [f"event {n}" for n in range(101, 251)]
    waiting = asyncio.create_task(listener.next())
    await console.service.reports.store_reports(gateway_id, _reports([251], severity=Severity.ERROR))
    assert (await waiting)["message"] == "event 251"
    await listener.close()
    assert console.service.streams._subscriptions == {}


async def test_a_stream_ends_when_the_gateway_is_deleted(console: Console):
    gateway_id = await console.create()
    listener = _Listener(console, gateway_id, after=0)
    ended = asyncio.create_task(listener.ended())
    await asyncio.sleep(0)
    await console.client.delete(f"/api/v1/gateways/{gateway_id}")
    assert await ended


async def test_a_stream_ends_when_the_key_is_revoked(console: Console):
    gateway_id, _ = await console.registered()
    listener = _Listener(console, gateway_id, after=0)
    ended = asyncio.create_task(listener.ended())
    await asyncio.sleep(0)
    keys = (await console.client.get("/api/v1/keys")).json()["items"]
    assert (await console.client.delete(f"/api/v1/keys/{keys[0]['id']}")).status_code == 204
    await console.service.reports.store_reports(gateway_id, _reports([1]))
    assert await ended


async def test_a_stream_ends_when_the_console_stops(console: Console):
    gateway_id, _ = await console.registered()
    listener = _Listener(console, gateway_id, after=0)
    ended = asyncio.create_task(listener.ended())
    await asyncio.sleep(0)
    console.service.streams.close()
    assert await ended
