"""`/metrics` as Prometheus reads it: parsed by the parser of its own client library."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from pcg.console.metrics import CountedRequests, Counts, family, text
from pcg.model.records import Event
from pcg.model.states import GatewayState, Role
from pcg.sealing.keys import GatewayKeys
from pcg.wire.frames import Report

from .conftest import Console

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def _samples(console: Console) -> Samples:
    answer = await console.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    assert all(found.documentation and found.type in ("counter", "gauge") for found in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for found in families
        for sample in found.samples
    }


async def test_what_the_console_does_is_counted(console: Console):
    gateway_id, _ = await console.registered()
    await console.create("two")
    await console.service.reports.store_reports(
        gateway_id,
        [
            Report(writer="w", number=number, event=Event(at=console.service.clock.now(), reason="tested", message="m"))
            for number in (1, 2, 2)
        ],
    )
    found = await _samples(console)
    states = {labels[0][1]: value for (name, labels), value in found.items() if name == "pcg_gateways"}
    assert states == {state.value: 0 for state in GatewayState} | {"awaiting-registration": 1, "pending": 1}
    assert found["pcg_sessions", ()] == 0
    assert found["pcg_events_stored_total", ()] == 2
    assert found["pcg_console_events_throttled_total", ()] == 0
    console.service.allowances.events_throttled += 3
    assert (await _samples(console))["pcg_console_events_throttled_total", ()] == 3
    console.service.presence.arrived(gateway_id, console.service.clock.now())
    assert (await _samples(console))["pcg_sessions", ()] == 1


async def test_refused_registrations_by_reason(console: Console):
    keys = GatewayKeys.generate()
    body = {
        "versions": [1, 1], "pairing_key": keys.public_signing, "signing_key": keys.public_signing,
        "sealing_key": keys.public_sealing, "nonce": "x" * 43, "pairing_signature": "x" * 86,
        "possession_signature": "x" * 86, "installer_name": "i", "software": "s",
    }  # fmt: skip
    refused = await console.anonymous().post("/gateway/v1/register", json=body)
    reason = refused.json()["reason"]
    found = await _samples(console)
    told = {labels: value for (name, labels), value in found.items() if name == "pcg_refused_registrations_total"}
    assert told == {(("reason", reason),): 1}


async def test_requests_by_route_never_by_path(console: Console):
    async with console.anonymous() as client:
        for number in range(5):
            assert (await client.get(f"/api/v1/gateways/g{number}")).status_code == 401
            assert (await client.get(f"/nothing/{number}")).status_code == 404
            await client.request(f"VERB{number}", "/healthz")
            await client.get(f"/gateways/g{number}/reset")
            await client.get("/api/v1/gateways/v1")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.post("/api/v1/keys", content=b"x" * (2 << 20))).status_code == 413
    found = await _samples(console)
    requests = {labels: value for (name, labels), value in found.items() if name == "pcg_requests_total"}

    def count(method: str, route: str, status: str) -> float:
        return requests[("method", method), ("route", route), ("status", status)]

    assert count("GET", "/api/v1/gateways/{gateway_id}", "401") == 10
    assert sum(value for labels, value in requests.items() if ("route", "/gateways/{gateway_id}/reset") in labels) == 5
    assert count("GET", "none", "404") == 5
    assert count("GET", "/healthz", "200") == 1
    assert count("POST", "none", "413") == 1
    assert sum(value for labels, value in requests.items() if ("method", "other") in labels) == 5
    # This one, which is not answered yet.
    assert found["pcg_requests_under_way", ()] == 1
    assert not any("/nothing" in value or "VERB" in value for labels in requests for _, value in labels)


async def test_a_request_that_breaks_is_counted_as_500():
    async def broken(request: object) -> None:
        raise RuntimeError

    counts = Counts()
    app = CountedRequests(Starlette(routes=[Route("/broken", broken)]), counts)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    async def send(message: object) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/broken", "headers": [], "query_string": b"", "root_path": ""}
    with pytest.raises(RuntimeError):
        await app(scope, receive, send)
    assert [(key[2], value) for key, value in counts.requests.items()] == [("500", 1)]
    assert counts.under_way == 0


async def test_the_process_tells_of_itself(console: Console):
    found = await _samples(console)
    assert found["process_cpu_seconds_total", ()] > 0
    assert 1 << 20 < found["process_resident_memory_bytes", ()] < 1 << 34
    assert 3 <= found["process_open_fds", ()] <= len(list(Path("/proc/self/fd").iterdir())) + 5
    assert 0 < time.time() - found["process_start_time_seconds", ()] < 86_400


@pytest.mark.parametrize("role", list(Role))
async def test_every_role_may_read_them_with_a_key(console: Console, role: Role):
    assert (await (await console.as_role(role)).get("/metrics")).status_code == 200


def test_any_label_value_comes_back():
    nasty = 'a"b\\c\nd{e="f"},ä'
    written = text(
        [family("pcg_x_total", "counter", "X.", {(("reason", nasty),): 3.0}), family("pcg_y", "gauge", "Y.", {})]
    )
    first, second = text_string_to_metric_families(written)
    assert (first.samples[0].labels, first.samples[0].value) == ({"reason": nasty}, 3)
    assert second.samples == []
