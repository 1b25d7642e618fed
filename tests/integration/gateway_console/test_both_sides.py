"""Both real sides over TLS: pairing, a session's whole life, and what a broken connection must not lose."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from pcg.clock import SystemClock
from pcg.errors import NotFound, Refused
from pcg.gateway.jet import run_jet
from pcg.model.records import GatewayStatus, StepReport
from pcg.model.states import StepName, StepState
from pcg.sealing import pairing_code
from pcg.sealing.boxes import open_sealed
from pcg.wire import frames

from .conftest import Console, Gateway, Make, until

CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}


@pytest.fixture(params=["websocket", "polling"])
def way(request: pytest.FixtureRequest) -> str:
    """Nothing of this depends on the transport."""
    return str(request.param)


async def _configure(console: Console, gateway_id: str) -> None:
    answer = await console.client.put(f"/gateways/{gateway_id}/configuration", json=CONFIGURATION)
    assert answer.status_code == 200, answer.text


async def _told(console: Console, gateway_id: str, count: int) -> list[str]:
    async with asyncio.timeout(20):
        while len(messages := await console.messages(gateway_id)) < count:
            await asyncio.sleep(0.02)
    return messages


async def test_from_code_to_a_working_session(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    path = f"/gateways/{gateway.registration.gateway_id}"
    seen = await console.get(path)
    assert (seen["state"], seen["connected"], seen["registered_by"]) == ("pending", True, "appliance")
    assert seen["sealing_key"] == gateway.keys.public_sealing

    await _configure(console, gateway.registration.gateway_id)
    await until(lambda: gateway.wanted, "the desired state")
    wanted = gateway.wanted[-1]
    assert (wanted.mode, wanted.generation) == ("run", 1)
    assert wanted.jet_token is not None
    gateway.happen("it began")
    assert await _told(console, gateway.registration.gateway_id, 1) == ["it began"]
    steps = [StepReport(name=name, state=StepState.DONE) for name in StepName]
    gateway.observed.tell(GatewayStatus(generation=1, incarnation=1, steps=steps))
    async with asyncio.timeout(20):
        while (await console.get(path))["state"] != "running":
            await asyncio.sleep(0.02)

    await gateway.kill()
    async with asyncio.timeout(20):
        while (await console.get(path))["connected"]:
            await asyncio.sleep(0.02)
    assert [item["name"] for item in (await console.get(path))["conditions"]][-1] == "disconnected"


async def test_live_questions_over_the_session(console: Console, make: Make):
    gateway = await make()

    async def inventory(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"datacenters": [arguments.get("datacenter", "dc-1")]}

    async def kubeconfig(arguments: dict[str, Any]) -> dict[str, Any]:
        raise NotFound("The gateway cluster has no API server yet.", reason="cluster-not-ready", remedy=["Wait."])

    gateway.requests |= {"inventory": inventory, "kubeconfig": kubeconfig}
    await gateway.up()
    path = f"/gateways/{gateway.registration.gateway_id}"
    assert await console.get(f"{path}/inventory?datacenter=dc-9") == {"datacenters": ["dc-9"]}
    answer = await console.client.post(f"{path}/kubeconfig")
    assert (answer.status_code, answer.json()["reason"]) == (409, "cluster-not-ready")
    answer = await console.client.post(f"{path}/preflight", json={})
    assert answer.json()["reason"] == "verb-unknown"
    verbs = [item["details"].get("verb") for item in (await console.get("/audit"))["items"]]
    assert verbs[:3] == ["preflight", "kubeconfig", "inventory"]

    await gateway.kill()
    async with asyncio.timeout(20):
        while (await console.get(path))["connected"]:
            await asyncio.sleep(0.02)
    answer = await console.client.get(f"{path}/inventory")
    assert (answer.status_code, answer.json()["reason"]) == (503, "gateway-away")
    assert answer.headers["retry-after"] == "5"


async def test_a_killed_connection_resumes_with_no_event_lost_or_doubled(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    expected = [f"event {number}" for number in range(600)]
    generator = random.Random(7)
    for number, message in enumerate(expected):
        gateway.happen(message)
        if number % 40 == 0:
            # Long enough for a handshake and some events, and then at any place: in a frame, before an acknowledgement.
            console.relay.cut_after = generator.randrange(6_000, 30_000)
            console.relay.cut()
        if number % 5 == 0:
            await asyncio.sleep(0.001)
    before = console.relay.connections
    await until(lambda: console.relay.connections >= before + 5, "more connections broken in their middle")
    console.relay.cut_after = None
    assert await _told(console, gateway.registration.gateway_id, len(expected)) == expected
    await until(lambda: gateway.store.pending() == (0, []), "everything acknowledged")
    assert before > 5


async def test_a_killed_gateway_tells_what_it_had_committed(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    for number in range(100):
        gateway.happen(f"event {number}")
    await gateway.kill()
    again = await make(process_of=gateway)
    again.happen("after the start")
    expected = [*(f"event {number}" for number in range(100)), "after the start"]
    assert await _told(console, gateway.registration.gateway_id, 101) == expected


async def test_a_console_that_is_started_again_goes_on(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway.registration.gateway_id)
    gateway.happen("before")
    await _told(console, gateway.registration.gateway_id, 1)
    await until(lambda: gateway.wanted, "the desired state")
    await console.stop()
    gateway.happen("while it was away")
    gateway.wanted.clear()
    await console.start()
    assert await _told(console, gateway.registration.gateway_id, 2) == ["before", "while it was away"]
    await until(lambda: gateway.wanted, "the desired state again")
    assert (await console.get(f"/gateways/{gateway.registration.gateway_id}"))["connected"]


async def test_the_second_process_takes_over(console: Console, make: Make):
    first = await make()
    await first.up()
    second = await make(process_of=first, disk="elsewhere")
    await second.up()
    ending = await first.ended()
    assert (ending.type, ending.term) == ("superseded", 2)  # type: ignore[union-attr]
    second.happen("mine")
    assert await _told(console, second.registration.gateway_id, 1) == ["mine"]


async def test_pairing_anew_revokes_the_other_installer(console: Console, make: Make, tmp_path: Path):
    first = await make()
    await first.up()
    await _configure(console, first.registration.gateway_id)
    path = f"/gateways/{first.registration.gateway_id}"
    code = (await console.client.post(f"{path}/pairing-code")).json()["pairing_code"]
    second = Gateway(console, tmp_path)
    registration = await second.register(code)
    assert registration.gateway_id == first.registration.gateway_id
    assert await first.ended() == frames.Farewell(reason="revoked")
    second.start()
    try:
        await second.up()
        await until(lambda: second.wanted, "the desired state")
        token = second.wanted[-1].jet_token
        assert token is not None
        assert open_sealed(second.keys.opening, token).startswith(b"jet_")
        names = [item["name"] for item in (await console.get(path))["conditions"]]
        assert "credentials-needed" in names
    finally:
        await second.kill()


async def test_a_deleted_gateway_gets_its_farewell(console: Console, make: Make):
    gateway = await make()
    await gateway.up()
    await _configure(console, gateway.registration.gateway_id)
    assert (await console.client.delete(f"/gateways/{gateway.registration.gateway_id}")).json()["deleted"] is False
    await until(lambda: gateway.wanted and gateway.wanted[-1].mode == "delete", "the wish to delete")
    generation = gateway.wanted[-1].generation
    gateway.observed.tell(GatewayStatus(generation=generation, incarnation=1, clean=True))
    assert await gateway.ended() == frames.Farewell(reason="deleted")
    assert (await console.client.get(f"/gateways/{gateway.registration.gateway_id}")).status_code == 404
    late = await make(process_of=gateway)
    assert await late.ended() == frames.Farewell(reason="deleted")


async def test_registering_again_gives_the_same(console: Console, make: Make, tmp_path: Path):
    code = (await console.create())["pairing_code"]
    gateway = Gateway(console, tmp_path)
    first = await gateway.register(code)
    assert await gateway.register(code) == first
    other = Gateway(console, tmp_path)
    with pytest.raises(Refused) as caught:
        await other.register(code)
    assert caught.value.reason == "pairing-code-used"
    assert "by installer: appliance" in caught.value.evidence
    with pytest.raises(Refused) as caught:
        await other.register(pairing_code.generate())
    assert caught.value.reason == "pairing-code-unknown"
    with pytest.raises(Refused) as caught:
        await gateway.register((await console.create("two"))["pairing_code"])
    assert caught.value.reason == "keys-in-use"


async def test_registration_over_connections_that_break(console: Console, tmp_path: Path):
    """Wherever the connection breaks, in the end there is one registration."""
    code = (await console.create())["pairing_code"]
    gateway = Gateway(console, tmp_path)
    console.relay.cut_after = 500
    registering = asyncio.create_task(gateway.register(code))
    for most in range(1000, 8000, 500):
        before = console.relay.connections
        await until(lambda before=before: console.relay.connections >= before + 2 or registering.done(), "tries")
        console.relay.cut_after = most
    console.relay.cut_after = None
    async with asyncio.timeout(20):
        registration = await registering
    seen = await console.get(f"/gateways/{registration.gateway_id}")
    assert (seen["state"], seen["sealing_key"]) == ("pending", gateway.keys.public_sealing)
    entries = [item["action"] for item in (await console.get("/audit"))["items"]]
    assert entries.count("gateway-registered") == 1


async def test_jet_is_accepted_by_its_token_until_a_reset(console: Console, make: Make, tmp_path: Path):
    gateway = await make()
    await _configure(console, gateway.registration.gateway_id)
    await until(lambda: gateway.wanted and gateway.wanted[-1].jet_token, "the token")
    sealed = gateway.wanted[-1].jet_token
    assert sealed is not None
    token = tmp_path / "token"
    token.write_bytes(open_sealed(gateway.keys.opening, sealed))
    environment = {"PCG_ENDPOINT": console.url, "PCG_CA_PEM": console.ca, "PCG_JET_TOKEN_FILE": str(token)}
    lines: list[str] = []
    ready = asyncio.Event()

    async def jet() -> int:
        return await run_jet(
            environment, clock=SystemClock(), log=lines.append, on_ready=lambda now: ready.set(), serve=False
        )

    running = asyncio.create_task(jet())
    async with asyncio.timeout(20):
        await ready.wait()
    assert gateway.registration.gateway_id in lines[-1]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    await console.client.post(f"/gateways/{gateway.registration.gateway_id}/reset")
    assert await jet() == 1
    assert "token-rejected" in lines[-1]
    token.write_text("jet_made-up")
    assert await jet() == 1
    assert "token-rejected" in lines[-1]
