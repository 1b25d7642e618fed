"""What a gateway tells is shown, and does nothing: on pages, in streams, logs and metrics.

Every text that a gateway may choose is hostile at once; the page must be built of the same elements with the same
attributes as with harmless words.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from doubles.gateway import GatewayDouble, registration
from pcg.console.auth import SESSION_COOKIE
from pcg.console.safety import CONTENT_SECURITY_POLICY
from pcg.console.store.models import StoredEvent
from pcg.sealing import signatures
from pcg.wire import frames
from pcg.wire.registration import ConsoleIdentity

from .hostile import PAYLOADS, PLAIN, Shown, cut, event_of, status_of, unseemly
from .raw import ask
from .world import World

pytestmark = pytest.mark.shared

PAGES = ("", "/events", "/reset", "/bundles", "/delete", "/pairing-code", "/configure", "/configuration")
ENTRIES = list(PAYLOADS.items())


@pytest.mark.parametrize(("name", "text"), ENTRIES, ids=[name for name, _ in ENTRIES])
async def test_what_a_gateway_tells_is_shown_and_nothing_more(
    name: str, text: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pcg")
    harmless = await _pages_after(world, PLAIN, f"w-plain-{world.number()}")
    hostile = await _pages_after(world, text, f"w-hostile-{world.number()}")
    for page, shown in hostile.items():
        assert shown.structure == harmless[page].structure, page
        assert not [place for place in shown.addresses if not re.match(r"/|#|https://", place)], page
    for page in ("", "/events"):
        # Browsers normalise line ends, and a NUL is stored as the sign for what cannot be shown.
        wanted = text[:60].replace("\x00", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
        seen = hostile[page].text.replace("\r\n", "\n").replace("\r", "\n")
        assert wanted in seen, page
    stream = await ask(
        world.console.app, "GET", f"/api/v1/gateways/{world.ids['configured']}/events?after=0",
        [(b"accept", b"text/event-stream"), (b"authorization", f"Bearer {world.keys['viewer']}".encode())],
    )  # fmt: skip
    assert set(re.findall(r"^(\w*):", stream.text, re.MULTILINE)) <= {"", "id", "data", "event"}
    assert "event: forged" not in stream.text.splitlines()
    metrics = await ask(
        world.console.app, "GET", "/metrics", [(b"authorization", f"Bearer {world.keys['viewer']}".encode())]
    )
    families = list(text_string_to_metric_families(metrics.text))
    assert families
    assert "forged" not in metrics.text
    _check_log(caplog)


@pytest.mark.parametrize(("name", "text"), ENTRIES, ids=[name for name, _ in ENTRIES])
async def test_what_a_gateway_answers_and_says_of_itself(
    name: str, text: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pcg")

    async def answer(gateway: GatewayDouble, request: frames.Request) -> None:
        body = {"what": text[:4096], "reason": text[:64], "remedy": [text[:4096]], "link": text[:512]}
        problem = {**body, "evidence": [text[:4096]], "at": "2026-06-01T12:00:00Z"}
        checks = [{"what": text[:4096], "ok": False, "problem": problem}]
        answers: dict[str, dict[str, Any]] = {
            "preflight": {"checks": checks, text[:30]: text[:30]},
            "inventory": {text[:100]: [text[:100]]},
            "kubeconfig": {"kubeconfig": text[:9000]},
        }
        if request.arguments.get("datacenter") == "fail":
            await gateway.send(frames.Response(id=request.id, ok=False, body=problem))
        else:
            await gateway.send(frames.Response(id=request.id, ok=True, body=answers[request.verb]))

    world.answering = answer
    key = [(b"authorization", f"Bearer {world.keys['admin']}".encode()), (b"content-type", b"application/json")]
    url = f"/api/v1/gateways/{world.ids['connected']}"
    for method, path, status in [
        ("POST", "/preflight", 200), ("GET", "/inventory", 200), ("POST", "/kubeconfig", 200),
        ("GET", "/inventory?datacenter=fail", 409),
    ]:  # fmt: skip
        told = await ask(world.console.app, method, url + path, key, b"{}" if method == "POST" else b"")
        assert told.status == status, told
        assert json.loads(told.body)
        assert not {"\r", "\n"} & set("".join(told.headers.values()))

    # Its last word, and what it calls its software.
    gateway = world.gateways["configured"]
    gateway.open()
    nonce = signatures.new_nonce()
    await gateway.send(frames.Hello(versions=(1, 1), gateway_id=gateway.gateway_id, nonce=nonce, software=text[:64]))
    challenge = await gateway.expect(frames.Challenge)
    parts = signatures.session_parts(1, gateway.gateway_id, challenge.console_id, nonce, challenge.nonce)
    signature = signatures.sign(gateway.keys.signing, signatures.SESSION_GATEWAY, *parts)
    await gateway.send(frames.Proof(signature=signature, term=0, writer=text[:64]))
    await gateway.expect(frames.Welcome)
    await gateway.send(frames.Refusal(reason="busy", message=text[:1024]))
    await gateway.over()
    # Ids and writers that are none.
    stranger = GatewayDouble(gateway.service, gateway.hub, text[:64], gateway.keys)
    stranger.open()
    refusal = await stranger.prove()
    assert isinstance(refusal, frames.Refusal)
    assert refusal.reason in ("unknown-gateway", "protocol")
    await stranger.over()
    _check_log(caplog)


@pytest.mark.parametrize(("name", "text"), ENTRIES, ids=[name for name, _ in ENTRIES])
async def test_an_installer_s_name_and_software(
    name: str, text: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pcg")
    client = world.console.client
    made = (await client.post(f"/api/v1/gateways/{world.ids['waiting']}/pairing-code")).json()
    gateway = world.gateways["configured"]
    identity = ConsoleIdentity.model_validate((await client.get("/gateway/v1/identity")).json())
    keys = type(gateway.keys).generate()
    request = registration(made["pairing_code"], keys, identity).model_dump(mode="json")
    named = {**request, "installer_name": cut(text, 253), "software": cut(text, 64)}
    for field_name, most in (("installer_name", 253), ("software", 64), ("nonce", 128), ("pairing_key", 64)):
        too_long = await client.post("/gateway/v1/register", json={**named, field_name: text + "x" * (most + 1)})
        assert (too_long.status_code, too_long.json()["field"]) == (422, field_name)
        if most != 253 and field_name != "software":
            wrong = await client.post("/gateway/v1/register", json={**named, field_name: cut(text, most)})
            assert 400 <= wrong.status_code < 500, wrong.text
    answer = await client.post("/gateway/v1/register", json=named)
    assert answer.status_code == 200, answer.text
    shown = await world.console.get(world.ids["waiting"])
    assert not unseemly(shown["registered_by"] or "")
    token = (await world.session("admin")).token
    cookie = [(b"cookie", f"{SESSION_COOKIE}={token}".encode()), (b"accept", b"text/html")]
    for page in (f"/gateways/{world.ids['waiting']}", "/audit", "/"):
        told = await ask(world.console.app, "GET", page, cookie)
        assert told.status == 200, told
        Shown(told.text).check_inert()
    again = await client.post("/gateway/v1/register", json={**named, "signing_key": keys.public_sealing})
    assert again.status_code in (403, 422), again.text
    jet = {"Authorization": f"Bearer {await world.jet_token('configured')}"}
    body = {"node": cut(text, 253), "instance": cut(text, 64)}
    assert (await client.post("/gateway/v1/jet", headers=jet, json=body)).status_code == 200
    assert (await client.post("/gateway/v1/jet", headers=jet, json={"place": text})).status_code == 422
    _check_log(caplog)


async def test_numbers_and_times_at_their_ends(world: World) -> None:
    """What is a number or a time to the protocol, and yet not to a page or a database."""
    gateway = world.gateways["configured"]
    odd = ["NaN", "Infinity", "-Infinity", "1e308", "-1e308", "-1", "1e-320", "1e400", "9" * 400]
    times = [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59.999999Z",
        "-1",
        "1e20",
    ]
    for number in odd:
        text = json.dumps({**status_of(PLAIN), "generation": 1}).replace('"seconds": 1.0', f'"seconds": {number}')
        text = text.replace('"line": 1', '"line": -99999999999999999999').replace(
            '"incarnation": 1, "since"', '"incarnation": 99999999999999999999999, "since"'
        )
        await _told(world, gateway, f'{{"type": "status", "term": TERM, "revision": REVISION, "status": {text}}}')
    for time in times:
        text = json.dumps(status_of(PLAIN)).replace("2026-06-01T12:00:00Z", time)
        await _told(world, gateway, f'{{"type": "status", "term": TERM, "revision": REVISION, "status": {text}}}')
        event = json.dumps(event_of(PLAIN)).replace("2026-06-01T12:00:00Z", time)
        reports = f'[{{"writer": "w", "number": NUMBER, "event": {event}}}]'
        await _told(world, gateway, f'{{"type": "reports", "reports": {reports}}}')


async def _told(world: World, gateway: GatewayDouble, text: str) -> None:
    """The console takes it or refuses it as the protocol says; afterwards everything can be shown."""
    gateway.term = 0
    welcome = await gateway.connect()
    number = int(world.number()) + 1
    text = text.replace("TERM", str(welcome.term)).replace("REVISION", str(number)).replace("NUMBER", str(number))
    await gateway.end.send(text)
    await gateway.send(frames.Reports(reports=[gateway.report_of(number)]))
    last: frames.Frame | None = None
    while not isinstance(last, frames.Refusal | frames.Acknowledge):
        last = await gateway.receive()
    if isinstance(last, frames.Refusal):
        assert last.reason == "protocol", (last, text[:200])
        await gateway.over()
    else:
        await gateway.leave()
    await _pages(world)
    headers = [(b"authorization", f"Bearer {world.keys['viewer']}".encode())]
    for part in ("", "/steps", "/machines", "/findings", "/events"):
        answer = await ask(world.console.app, "GET", f"/api/v1/gateways/{gateway.gateway_id}{part}", headers)
        assert answer.status == 200, (part, answer, text[:300])
        json.loads(answer.body, parse_constant=pytest.fail)


async def _pages_after(world: World, text: str, writer: str) -> dict[str, Shown]:
    """The gateway's pages when this is all that it told last."""
    gateway = world.gateways["configured"]
    await _forget_events(world)
    gateway.writer, gateway.term = writer, 0
    await gateway.connect()
    await gateway.end.send(
        json.dumps({"type": "reports", "reports": [{"writer": writer, "number": 1, "event": event_of(text)}]})
    )
    await _acknowledged(gateway)
    await gateway.end.send(
        json.dumps({"type": "status", "term": gateway.term, "revision": 1, "status": status_of(text)})
    )
    await gateway.send(frames.Reports(reports=[]))  # in order: when this is answered, the status is stored
    await _acknowledged(gateway)
    await gateway.leave()
    shown = await _pages(world)
    await _forget_events(world)
    if text != PLAIN:
        await gateway.connect()
        reports = [{"writer": f"{writer}-again", "number": 1, "event": event_of(text)}]
        await gateway.end.send(json.dumps({"type": "reports", "reports": reports}))
        await _acknowledged(gateway)
        await gateway.leave()
    return shown


async def _forget_events(world: World) -> None:
    """One event at a time, so that two pages have the same rows."""
    async with world.console.service.database.write() as session:
        await session.execute(StoredEvent.__table__.delete())


async def _acknowledged(gateway: GatewayDouble) -> None:
    """Other frames may come before."""
    while not isinstance(await gateway.receive(), frames.Acknowledge):
        continue


async def _pages(world: World) -> dict[str, Shown]:
    token = (await world.session("admin")).token
    cookie = [(b"cookie", f"{SESSION_COOKIE}={token}".encode()), (b"accept", b"text/html")]
    found = {}
    for page in (*PAGES, "//"):
        place = "/" if page == "//" else f"/gateways/{world.ids['configured']}{page}"
        answer = await ask(world.console.app, "GET", place, cookie)
        assert answer.status == 200, (page, answer)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        found[page] = Shown(answer.text)
    return found


def _check_log(caplog: pytest.LogCaptureFixture) -> None:
    for record in caplog.records:
        if record.name.startswith("pcg"):
            assert not unseemly(record.getMessage()), record
