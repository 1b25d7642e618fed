"""What a connected gateway is asked: answers, deadlines, limits, cancel, audit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from doubles.gateway import ADMIN, GatewayDouble, create
from pcg.console.hub import Hub
from pcg.console.requests import MAXIMUM_AT_ONCE, OpenRequests, make_request
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry
from pcg.errors import Busy, InvalidInput, NotFound, PcgError, ProtocolError, TryAgain
from pcg.wire import frames


async def _ask(hub: Hub, gateway: GatewayDouble, verb: str = "inventory") -> asyncio.Task[dict[str, Any]]:
    return asyncio.create_task(hub.request(gateway.gateway_id, verb, {"a": 1}, ADMIN))


async def test_a_request_is_answered_and_audited(service: Service, hub: Hub, gateway: GatewayDouble):
    await gateway.connect()
    asked = await _ask(hub, gateway, "kubeconfig")
    request = await gateway.expect(frames.Request)
    assert (request.verb, request.arguments, request.deadline, request.limit) == ("kubeconfig", {"a": 1}, 30, 65536)
    async with service.database.read() as session:
        entry = await session.scalar(select(AuditEntry).order_by(AuditEntry.position.desc()))
        assert entry is not None
        assert (entry.actor, entry.action, entry.gateway_name) == (ADMIN.email, "gateway-asked", "one")
        assert entry.details == {"verb": "kubeconfig", "request": request.id}
    await gateway.send(frames.Response(id="another", ok=True, body={"x": 0}))
    await gateway.send(frames.Response(id=request.id, ok=True, body={"x": 1}))
    assert await asked == {"x": 1}
    await gateway.leave()


async def test_an_absent_gateway_is_told_at_once(hub: Hub, gateway: GatewayDouble):
    with pytest.raises(TryAgain) as caught:
        await hub.request(gateway.gateway_id, "inventory", {}, ADMIN)
    assert (caught.value.reason, caught.value.after) == ("gateway-away", 5.0)
    await gateway.connect()
    asked = await _ask(hub, gateway)
    await gateway.expect(frames.Request)
    await gateway.leave()
    with pytest.raises(TryAgain) as caught:
        await asked
    assert caught.value.reason == "gateway-away"


@pytest.mark.parametrize(
    "reason,kind", [("not-configured", PcgError), ("busy", Busy), ("deadline-exceeded", TryAgain), ("x", PcgError)]
)
async def test_the_gateways_own_error_is_passed_on(hub: Hub, gateway: GatewayDouble, reason: str, kind: type[PcgError]):
    await gateway.connect()
    asked = await _ask(hub, gateway)
    request = await gateway.expect(frames.Request)
    body = {"what": "No.", "reason": reason, "evidence": ["seen"], "remedy": ["do"], "at": "2026-01-01T00:00:00Z"}
    await gateway.send(frames.Response(id=request.id, ok=False, body=body))
    with pytest.raises(PcgError) as caught:
        await asked
    assert isinstance(caught.value, kind)
    assert (caught.value.what, caught.value.reason, caught.value.evidence) == ("No.", reason, ["seen"])
    await gateway.leave()


@pytest.mark.parametrize(
    "response,reason",
    [({"ok": True, "body": {"x": "y" * 600_000}}, "too-large"), ({"ok": False, "body": {}}, "answer-invalid")],
)
async def test_an_answer_that_is_none(hub: Hub, gateway: GatewayDouble, response: dict[str, Any], reason: str):
    await gateway.connect()
    asked = await _ask(hub, gateway)
    request = await gateway.expect(frames.Request)
    await gateway.send(frames.Response(id=request.id, **response))
    with pytest.raises(ProtocolError) as caught:
        await asked
    assert caught.value.reason == reason
    await gateway.leave()


async def test_a_caller_that_goes_cancels_the_request(hub: Hub, gateway: GatewayDouble):
    await gateway.connect()
    asked = await _ask(hub, gateway)
    request = await gateway.expect(frames.Request)
    asked.cancel()
    assert (await gateway.expect(frames.Cancel)).id == request.id
    with pytest.raises(asyncio.CancelledError):
        await asked
    # An answer that comes after all disturbs nothing.
    await gateway.send(frames.Response(id=request.id, ok=True))
    await gateway.report(1)
    await gateway.leave()


async def test_what_cannot_be_asked(hub: Hub, gateway: GatewayDouble):
    await gateway.connect()
    with pytest.raises(NotFound):
        await hub.request(gateway.gateway_id, "reboot", {}, ADMIN)
    with pytest.raises(InvalidInput):
        await hub.request(gateway.gateway_id, "inventory", {str(number): 1 for number in range(99)}, ADMIN)
    with pytest.raises(InvalidInput) as caught:
        await hub.request(gateway.gateway_id, "preflight", {"configuration": "x" * (1 << 20)}, ADMIN)
    assert caught.value.reason == "request-too-large"
    await gateway.report(1)
    await gateway.leave()


@pytest.mark.looptime
async def test_a_deadline_ends_the_waiting_and_the_work():
    sent: list[frames.Frame] = []

    async def send(frame: frames.Frame) -> None:
        sent.append(frame)

    request, requests = make_request("inventory", {}), OpenRequests(send)
    with pytest.raises(TryAgain) as caught:
        await requests.ask(request)
    assert (caught.value.reason, sent) == ("gateway-away", []), "before the welcome nothing may be asked"
    requests.begin()
    begun = asyncio.get_running_loop().time()
    with pytest.raises(TryAgain) as caught:
        await requests.ask(request)
    assert caught.value.reason == "deadline-exceeded"
    assert asyncio.get_running_loop().time() - begun == pytest.approx(request.deadline + 5)
    assert sent == [request, frames.Cancel(id=request.id)]


async def test_not_too_many_at_once():
    async def send(frame: frames.Frame) -> None:
        await asyncio.sleep(0)

    requests = OpenRequests(send)
    requests.begin()
    waiting = [asyncio.create_task(requests.ask(make_request("inventory", {}))) for _ in range(MAXIMUM_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await requests.ask(make_request("inventory", {}))
    requests.close()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, TryAgain)
    with pytest.raises(TryAgain):
        await requests.ask(make_request("inventory", {}))


async def test_each_gateway_has_its_own_session(service: Service, hub: Hub, gateway: GatewayDouble):
    other = await GatewayDouble.registered(service, hub, "two")
    await gateway.connect()
    await other.connect()
    assert (await create(service, "three")).gateway.connected is False
    asked = await _ask(hub, other)
    request = await other.expect(frames.Request)
    await gateway.send(frames.Response(id=request.id, ok=True, body={"from": "the wrong one"}))
    await gateway.report(1)
    await other.send(frames.Response(id=request.id, ok=True, body={"from": "the right one"}))
    assert await asked == {"from": "the right one"}
    await gateway.leave()
    assert service.presence.connected(other.gateway_id)
    await other.leave()
