"""Frames that no honest gateway sends, by one that has proven itself and by nobody, over real sockets: the session ends
with the refusal of docs/protocol.md, the same gateway may come again, and the others notice nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from integration.attack.scene import stranger
from integration.attack.speaker import Speaker, report_of, speaking
from integration.gateway_console.conftest import EMAIL, PASSWORD, Console, Gateway, Make, until
from pcg.console.auth import SESSION_COOKIE
from pcg.console.store.models import Gateway as StoredGateway
from pcg.model.records import GatewayStatus
from pcg.wire import frames

MEBIBYTE = 1 << 20


@pytest.fixture
async def attacker(make: Make) -> Gateway:
    """A registered gateway whose own process is away: the tests speak for it."""
    gateway = await make("attacker")
    await gateway.up()
    gateway.running.cancel()
    await asyncio.gather(gateway.running, return_exceptions=True)
    return gateway


@pytest.fixture
async def others_unharmed(console: Console, make: Make) -> AsyncIterator[None]:
    """Another gateway stands by: its session is the same one afterwards, and works."""
    other = await make("other")
    await other.up()
    yield
    assert [line for line in other.said if "is up" in line] == [line for line in other.said if "is up" in line][:1]
    other.happen("still here")
    await until(lambda: not other.store.pending()[1], "an acknowledgement")
    assert await console.messages(other.registration.gateway_id) == ["still here"]
    assert (await console.client.get("/gateways")).status_code == 200


async def test_a_whole_session_that_was_recorded_is_worth_nothing_again(
    console: Console, attacker: Gateway, others_unharmed: None
):
    async with speaking(console, attacker) as first:
        await first.welcome()
        assert await first.report(1, 2, 3) == {"by hand": 3}
        recorded = list(first.said)
    async with speaking(console, attacker) as again:
        for text in recorded:
            await again.send(text)
        assert (await again.refused()).reason == "bad-proof"
    assert await console.messages(attacker.registration.gateway_id) == ["event 1", "event 2", "event 3"]


async def test_reports_again_backwards_and_twice_are_stored_once(
    console: Console, attacker: Gateway, others_unharmed: None
):
    async with speaking(console, attacker) as speaker:
        await speaker.welcome()
        assert await speaker.report(1, 1, 2, 2, 1) == {"by hand": 2}
        assert await speaker.report(2, 1) == {"by hand": 2}
        assert await speaker.report(5) == {"by hand": 5}
        # Numbers only rise: what comes after a higher one is a repetition.
        assert await speaker.report(4, 3) == {"by hand": 5}
        await speaker.send(frames.Reports(reports=[report_of(5, "another text for a number that is stored")]))
        assert (await speaker.until(frames.Acknowledge)).stored == {"by hand": 5}
    # In another session, as after a break.
    async with speaking(console, attacker) as speaker:
        assert (await speaker.welcome()).stored["by hand"] == 5
        assert await speaker.report(1, 2, 5, 6) == {"by hand": 6}
    assert await console.messages(attacker.registration.gateway_id) == ["event 1", "event 2", "event 5", "event 6"]


async def test_statuses_of_another_time_change_nothing(console: Console, attacker: Gateway, others_unharmed: None):
    async with speaking(console, attacker) as speaker:
        await speaker.welcome()
        for revision, generation in ((7, 7), (6, 6), (7, 5), (1, 1)):
            status = GatewayStatus(generation=generation, incarnation=1)
            await speaker.send(frames.Status(term=speaker.term, revision=revision, status=status))
        await speaker.report(1)
        async with console.service.database.read() as session:
            row = await session.get(StoredGateway, attacker.registration.gateway_id)
            assert row is not None
            assert row.status is not None
            assert (row.status_revision, row.status["generation"]) == (7, 7)
        status = GatewayStatus(generation=9, incarnation=1)
        await speaker.send(frames.Status(term=speaker.term + 1, revision=1, status=status))
        assert (await speaker.refused()).reason == "protocol"


_DEEP = '{"type":"response","id":"x","ok":true,"body":{"a":' + "[" * 400_000
_EVENT = '{"type":"reports","reports":[{"writer":"w","number":%s,"event":{"at":"%s","reason":"r","message":"m"}}]}'
_NOW = "2026-06-01T12:00:00Z"
_WRONG: dict[str, str | bytes] = {
    "truncated": '{"type":"heartb',
    "truncated within a text": '{"type":"heartbeat","time":"2026-',
    "deep": _DEEP,
    "deep and whole": '{"type":"response","id":"x","ok":true,"body":{"a":' + "[" * 5000 + "]" * 5000 + "}}",
    "unknown type": '{"type":"become-administrator"}',
    "no type": "{}",
    "a console's frame": '{"type":"farewell"}',
    "hello again": '{"type":"hello","versions":[1,1],"gateway_id":"x","nonce":"x"}',
    "binary": b'{"type":"heartbeat"}',
    "a number beyond the store": _EVENT % (2**63, _NOW),
    "a number of many digits": _EVENT % ("9" * 4000, _NOW),
    "a number of too many digits": _EVENT % ("9" * 400_000, _NOW),
    "a number below the first": _EVENT % (0, _NOW),
    "no number": _EVENT % ("NaN", _NOW),
    "infinitely many": _EVENT % ("1e999", _NOW),
    "the first hour of the calendar": _EVENT % (1, "0001-01-01T00:30:00+02:00"),
    "the last hour of the calendar": _EVENT % (1, "9999-12-31T23:30:00-02:00"),
    "half a character": '{"type":"heartbeat","time":"\\ud800"}',
    "not JSON's numbers": '{"type":"response","id":"x","ok":true,"body":{"a":NaN}}',
    "more events than allowed": json.dumps(
        {"type": "reports", "reports": [json.loads(_EVENT % (number, _NOW))["reports"][0] for number in range(1, 66)]}
    ),
    "a revision beyond the store": json.dumps(
        {"type": "status", "term": 2, "revision": 2**63, "status": {"generation": 1, "incarnation": 1}}
    ),
}


async def test_what_is_wrong_ends_the_session_and_nothing_else(
    console: Console, attacker: Gateway, others_unharmed: None
):
    for number, (name, message) in enumerate(_WRONG.items(), start=1):
        async with speaking(console, attacker) as speaker:
            await speaker.welcome()
            assert await speaker.report(number) == {"by hand": number}, name
            await speaker.send(message)
            refusal = await speaker.refused()
            assert (refusal.reason, refusal.final) == ("protocol", False), name
            assert len(refusal.message) <= 1024
    stored = await console.messages(attacker.registration.gateway_id)
    assert stored == [f"event {number}" for number in range(1, len(_WRONG) + 1)]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"], ids=["first", "last"])
async def test_times_at_the_edge_of_the_calendar_reach_no_page(
    console: Console, attacker: Gateway, others_unharmed: None, time: str
):
    """A time that can be moved to no other zone: pages that show it would stumble, so it is not let in."""
    step = {"name": "connect", "state": "failed", "since": time}
    finding = {"scenario": "s", "cause": "c", "severity": "error", "since": time, "summary": "told by a stranger"}
    gateway_id = attacker.registration.gateway_id
    for part in ({"steps": [step]}, {"findings": [finding]}):
        async with speaking(console, attacker) as speaker:
            term = (await speaker.welcome()).term
            status = {"generation": 1, "incarnation": 1, **part}
            await speaker.send(json.dumps({"type": "status", "term": term, "revision": 1, "status": status}))
            assert "edge of the calendar" in (await speaker.refused()).message
    signed_in = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    async with stranger(console, cookie=f"{SESSION_COOKIE}={signed_in.token}") as browser:
        for path in ("/", f"/gateways/{gateway_id}", "/api/v1/gateways", f"/api/v1/gateways/{gateway_id}"):
            answer = await browser.get(path)
            assert answer.status_code == 200, path
            assert "told by a stranger" not in answer.text


async def test_names_that_are_given_twice_count_once(console: Console, attacker: Gateway, others_unharmed: None):
    """Readers of JSON differ in which of two counts; here only one reads."""
    async with speaking(console, attacker) as speaker:
        await speaker.welcome()
        await speaker.send('{"type":"farewell","type":"heartbeat"}')
        await speaker.send('{"type":"heartbeat","time":null,"time":null,"gateway_id":"another","term":99}')
        assert await speaker.report(1) == {"by hand": 1}


@pytest.mark.parametrize(
    "versions,spoken",
    [((0, 0), None), ((-5, -1), None), ((2, 9), None), ((900, 901), None), ((9, 1), None), ((0, 1), 1), ((1, 999), 1)],
    ids=["old", "below nothing", "newer", "far newer", "backwards", "old and known", "known and far newer"],
)
async def test_versions(console: Console, attacker: Gateway, versions: tuple[int, int], spoken: int | None):
    async with speaking(console, attacker) as speaker:
        answer = await speaker.hello(versions)
        if spoken is None:
            assert isinstance(answer, frames.Refusal)
            assert (answer.reason, answer.final) == ("version", False)
        else:
            assert isinstance(answer, frames.Challenge)
            assert answer.version == spoken


# Too large, in all the ways in which a message can be.


async def test_the_largest_message_that_is_allowed_and_one_byte_more(
    console: Console, attacker: Gateway, others_unharmed: None
):
    largest = '{"type":"heartbeat","padding":"' + "x" * (MEBIBYTE - 33) + '"}'
    assert len(largest) == MEBIBYTE
    async with speaking(console, attacker) as speaker:
        await speaker.welcome()
        await speaker.send(largest)
        assert await speaker.report(1) == {"by hand": 1}
        await speaker.send(largest + " ")
        await _closed(speaker, 1009)


async def test_a_message_in_many_fragments_is_not_larger_than_one(
    console: Console, attacker: Gateway, others_unharmed: None
):
    async with speaking(console, attacker) as speaker:
        await speaker.welcome()

        async def endless() -> AsyncIterator[str]:
            for _ in range(4096):
                yield "x" * 1024

        with pytest.raises(ConnectionClosed):
            await speaker.connection.send(endless())
            await speaker.until(frames.Refusal)
        await _closed(speaker, 1009)
        # An honest one in fragments is understood.
    async with speaking(console, attacker) as again:
        await again.welcome()

        async def pieces() -> AsyncIterator[str]:
            for letter in '{"type":"heartbeat"}':
                yield letter

        await again.connection.send(pieces())
        assert await again.report(1) == {"by hand": 1}


async def test_nothing_is_inflated(console: Console, attacker: Gateway, others_unharmed: None):
    """The console does not agree to compress, and takes no frame that says it is compressed."""
    async with speaking(console, attacker, compression="deflate") as speaker:
        assert speaker.connection.response is not None
        assert "Sec-WebSocket-Extensions" not in speaker.connection.response.headers
        await speaker.welcome()
        # RFC 7692, 6: the first reserved bit says that a message is compressed. One short message, masked by nothing.
        speaker.connection.transport.write(b"\xc1\xfd" + b"\0" * 4 + b"\0" * 125)
        await _closed(speaker, 1002)


async def _closed(speaker: Speaker, code: int) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(20):
            while True:
                await speaker.connection.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code


# By long polling.


@asynccontextmanager
async def _polling(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    async with stranger(console) as client:
        answer = await client.post("/gateway/v1/poll")
        client.headers["authorization"] = f"Bearer {answer.json()['session']}"
        yield client


@pytest.mark.parametrize(
    "message,reason",
    [
        ("{", "protocol"),
        (_DEEP, "protocol"),
        ('{"type":"become-administrator"}', "protocol"),
        ('{"type":"hello","versions":[%s,1],"gateway_id":"x","nonce":"x"}' % ("9" * 5000), "protocol"),
        ('{"type":"hello","versions":[7,9],"gateway_id":"x","nonce":"x"}', "version"),
    ],
    ids=["truncated", "deep", "unknown type", "a long number", "far newer"],
)
async def test_the_same_refusals_by_long_polling(console: Console, others_unharmed: None, message: str, reason: str):
    async with _polling(console) as client:
        assert (await client.post("/gateway/v1/poll/frames", content=message)).status_code == 204
        told = await client.get("/gateway/v1/poll/frames?wait=20")
        assert (told.json()["type"], told.json()["reason"]) == ("refusal", reason)
        ended = await client.get("/gateway/v1/poll/frames?wait=20")
        assert (ended.status_code, ended.json()["reason"]) == (404, "session-closed")
        again = await client.post("/gateway/v1/poll/frames", content='{"type":"heartbeat"}')
        assert again.status_code == 404


async def test_too_large_by_long_polling(console: Console, others_unharmed: None):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(4096):
            yield b"x" * 1024

    async with _polling(console) as client:
        for content in (b"x" * (MEBIBYTE + 1), endless()):
            answer = await client.post("/gateway/v1/poll/frames", content=content)
            assert (answer.status_code, answer.json()["reason"]) == (413, "body-too-large")
        bomb = {"content-encoding": "gzip"}
        answer = await client.post("/gateway/v1/poll/frames", content=b"\x1f\x8b" + b"\0" * 64, headers=bomb)
        assert (answer.status_code, answer.json()["reason"]) == (422, "frame-invalid")


async def test_a_session_by_long_polling_is_nobodys_without_its_token(console: Console, others_unharmed: None):
    async with _polling(console) as client, stranger(console) as other:
        for header in ("", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "x" * 400):
            answer = await other.get("/gateway/v1/poll/frames?wait=0", headers={"authorization": header})
            assert (answer.status_code, answer.json()["reason"]) == (404, "session-closed"), header
        assert (await other.delete("/gateway/v1/poll")).status_code == 404
        assert (await client.get("/gateway/v1/poll/frames?wait=0")).status_code == 204
