"""One gateway and what belongs to another: whatever a gateway says, it says of itself alone.

`mine` is a whole gateway in an attacker's hands, its keys and tokens with it; `other` is another one of the same
console.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from doubles.gateway import NOON, GatewayDouble, line
from integration.console.conftest import status
from pcg.model.records import Event
from pcg.sealing import signatures
from pcg.wire import frames

from .raw import ask
from .world import World


@pytest.fixture
async def mine(world: World) -> GatewayDouble:
    gateway = world.gateways["configured"]
    await gateway.connect()
    assert isinstance(await gateway.receive(), frames.Desired)
    return gateway


async def test_what_one_reports_is_its_own_whatever_the_message_says(world: World, mine: GatewayDouble) -> None:
    other = world.ids["connected"]
    before = await _told(world, other)
    event = Event(at=NOON, reason="forged", message="of another", fields={"gateway_id": other}).model_dump(mode="json")
    named = {"gateway": other, "gateway_id": other, "id": other}
    # The writer and number are the other's next ones: known by (gateway, writer, number), they are no repetition.
    reports = [{"writer": "w", "number": 6, "event": {**event, **named}, **named}]
    await mine.end.send(json.dumps({"type": "reports", "reports": reports, **named}))
    assert (await mine.expect(frames.Acknowledge)).stored == {"w": 6}
    told = status(generation=1, done=True).model_dump(mode="json")
    forged = {"type": "status", "term": mine.term, "revision": 1, "status": {**told, **named}, **named}
    await mine.end.send(json.dumps(forged))
    await mine.report(1)  # in order: what was sent before is stored now

    own = (await _told(world, mine.gateway_id))["events"]
    assert [item["message"] for item in own["items"]] == ["of another", "event 1"]
    assert (await world.console.get(mine.gateway_id))["state"] == "running"
    assert await _told(world, other) == before
    # And the other's own next one still counts.
    report = frames.Report(writer="w", number=6, event=Event(at=NOON, reason="true", message="event 6"))
    assert await world.console.service.reports.store_reports(other, [report]) == {"w": 6}
    assert (await _told(world, other))["events"]["items"][-1]["message"] == "event 6"


async def test_nobody_answers_for_another(world: World, mine: GatewayDouble) -> None:
    asked = asyncio.Event()
    answer_now = asyncio.Event()
    other, ids = world.gateways["connected"], list[str]()

    async def held(gateway: GatewayDouble, request: frames.Request) -> None:
        ids.append(request.id)
        asked.set()
        await answer_now.wait()
        await gateway.send(frames.Response(id=request.id, ok=True, body={"kubeconfig": "the true one"}))

    world.answering = held
    headers = {"Authorization": f"Bearer {world.keys['admin']}"}
    url = f"/api/v1/gateways/{other.gateway_id}/kubeconfig"
    question = asyncio.create_task(world.client.post(url, headers=headers))
    await asked.wait()
    await mine.send(frames.Response(id=ids[0], ok=True, body={"kubeconfig": "forged"}))
    await mine.report(1)
    assert not question.done()
    answer_now.set()
    assert (await question).json() == {"kubeconfig": "the true one"}


async def test_the_keys_of_one_do_not_open_a_session_of_another(world: World, mine: GatewayDouble) -> None:
    other = world.gateways["connected"]
    thief = GatewayDouble(mine.service, mine.hub, other.gateway_id, mine.keys)
    thief.open()
    refusal = await thief.prove()
    assert isinstance(refusal, frames.Refusal)
    assert refusal.reason == "bad-proof"
    await thief.over()
    # Nor does a proof of one's own session, made for the same nonces, with the other's id put in.
    thief.end, theirs = line()
    thief.serving = asyncio.create_task(mine.hub.serve(theirs, ""))
    nonce = signatures.new_nonce()
    await thief.send(frames.Hello(versions=(1, 1), gateway_id=other.gateway_id, nonce=nonce))
    challenge = await thief.expect(frames.Challenge)
    parts = signatures.session_parts(1, mine.gateway_id, challenge.console_id, nonce, challenge.nonce)
    signature = signatures.sign(mine.keys.signing, signatures.SESSION_GATEWAY, *parts)
    await thief.send(frames.Proof(signature=signature, term=99, writer="w"))
    assert (await thief.expect(frames.Refusal)).reason == "bad-proof"
    await thief.over()
    assert (await world.console.get(other.gateway_id))["connected"] is True


async def test_a_jet_token_names_its_own_gateway_alone(world: World) -> None:
    for name in ("configured", "connected"):
        headers = {"Authorization": f"Bearer {await world.jet_token(name)}"}
        body = {"node": "n", "instance": "i", "gateway_id": world.ids["registered"], "place": "cluster"}
        answer = await world.client.post("/gateway/v1/jet", headers=headers, json=body)
        assert (answer.status_code, answer.json()["gateway_id"]) == (200, world.ids[name])
    revoked = await world.jet_token("configured")
    await world.console.service.gateways.reset(world.console.admin, world.ids["configured"])
    answer = await world.client.post("/gateway/v1/jet", headers={"Authorization": f"Bearer {revoked}"}, json={})
    assert answer.status_code == 401


async def test_a_polling_token_is_of_no_use_for_another_session(world: World) -> None:
    mine, other = world.gateways["configured"], world.gateways["connected"]
    token, stranger = await world.poll_token(), await world.poll_token()
    nonce = signatures.new_nonce()
    await _put(world, token, frames.Hello(versions=(1, 1), gateway_id=mine.gateway_id, nonce=nonce))
    # The answer is fetched by the token of the session that it is for, and by no other.
    assert await _take(world, stranger) is None
    challenge = await _take(world, token)
    assert isinstance(challenge, frames.Challenge)
    parts = signatures.session_parts(1, mine.gateway_id, challenge.console_id, nonce, challenge.nonce)
    signature = signatures.sign(mine.keys.signing, signatures.SESSION_GATEWAY, *parts)
    # A proof that is right, given by another token, proves nothing.
    await _put(world, stranger, frames.Proof(signature=signature, term=0, writer="w"))
    refusal = await _take(world, stranger, wait=10)
    assert isinstance(refusal, frames.Refusal)
    assert refusal.reason == "protocol"
    await _put(world, token, frames.Proof(signature=signature, term=0, writer="w"))
    assert isinstance(await _take(world, token, wait=10), frames.Welcome)
    # A session that is one gateway's does not become another's.
    before = await _told(world, other.gateway_id)
    await _put(world, token, frames.Hello(versions=(1, 1), gateway_id=other.gateway_id, nonce=nonce))
    while isinstance(last := await _take(world, token, wait=10), frames.Desired):
        pass
    assert isinstance(last, frames.Refusal)
    assert last.reason == "protocol"
    assert await _told(world, other.gateway_id) == before


async def _told(world: World, gateway_id: str) -> dict[str, Any]:
    """All that the console knows of a gateway by what it told."""
    answers = {}
    for part in ("", "/events", "/steps", "/machines", "/findings"):
        answer = await world.console.client.get(f"/api/v1/gateways/{gateway_id}{part}")
        assert answer.status_code == 200, answer.text
        answers[part.removeprefix("/")] = answer.json()
    answers[""].pop("last_seen")  # a heartbeat may come meanwhile
    return answers


async def _put(world: World, token: str, frame: frames.Frame) -> None:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    answer = await ask(world.console.app, "POST", "/gateway/v1/poll/frames", headers, frames.encode(frame).encode())
    assert answer.status == 204, answer


async def _take(world: World, token: str, wait: float = 0.1) -> frames.Frame | None:
    headers = [(b"authorization", f"Bearer {token}".encode())]
    answer = await ask(world.console.app, "GET", f"/gateway/v1/poll/frames?wait={wait}", headers)
    assert answer.status in (200, 204), answer
    return frames.decode(answer.text) if answer.status == 200 else None
