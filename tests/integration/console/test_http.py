"""What holds for every answer: one error shape, strict headers, a truthful description, nothing that answers 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from pcg.errors import ProtocolError, Unreachable

from .conftest import Console

pytestmark = pytest.mark.shared

PROBLEM = {"type", "title", "status", "detail", "reason", "evidence", "cause", "remedy", "link"}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/v1/nothing", 404, "path-unknown"),
        ("PATCH", "/api/v1/gateways", 405, "method-not-allowed"),
        ("GET", "/api/v1/gateways/unknown", 404, "gateway-unknown"),
        ("GET", "/api/v1/gateways/%00", 404, "gateway-unknown"),
        ("GET", "/api/v1/gateways/00000000-0000-0000-0000-000000000000/steps", 404, "gateway-unknown"),
        ("GET", "/api/v1/gateways?limit=9999", 422, "request-invalid"),
        ("GET", "/api/v1/gateways?after=%00", 422, "request-invalid"),
        ("DELETE", "/api/v1/keys/unknown", 404, "key-unknown"),
        ("GET", "/api/v1/audit?after=x", 422, "cursor"),
    ],
)
async def test_every_error_is_a_problem(console: Console, method: str, path: str, status: int, reason: str):
    answer = await console.client.request(method, path)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() - {"field"} == PROBLEM
    assert answer.json()["status"] == status


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"name": "x", "cloud": ', b"[" * 50_000])
async def test_a_broken_body_is_a_problem(console: Console, body: bytes):
    headers = {"Content-Type": "application/json"}
    answer = await console.client.post("/api/v1/gateways", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["", "-a", "a-", "a" * 64, "a/b", "a\nb", "ä", "a\x00", "<b>", 7, None])
async def test_a_wrong_name_is_named(console: Console, name: Any):
    answer = await console.client.post("/api/v1/gateways", json={"name": name, "cloud": "simulated"})
    assert (answer.status_code, answer.json()["field"]) == (422, "name")


async def test_large_bodies_are_refused_whether_they_say_so_or_not(console: Console):
    async def dripping():
        for _ in range(40):
            yield b" " * 50_000

    declared = await console.client.post("/api/v1/gateways", content=b" " * 2_000_000)
    hidden = await console.client.post("/api/v1/gateways", content=dripping())
    assert (declared.status_code, hidden.status_code) == (413, 413)
    assert hidden.json()["reason"] == "body-too-large"


async def test_browsers_are_kept_strict(console: Console):
    for path in ("/api/v1/gateways", "/healthz", "/api/v1/nothing"):
        headers = (await console.client.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"


async def test_health_is_open_and_metrics_are_not(console: Console):
    await console.create()
    async with console.anonymous() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        assert (await client.get("/metrics")).status_code == 401
    told = (await console.client.get("/metrics")).text
    assert 'pcg_gateways{state="awaiting-registration"} 1\n' in told
    assert "pcg_sessions 0\n" in told


async def test_a_store_that_is_away_is_told_and_a_bug_says_nothing_of_our_insides(console: Console, monkeypatch):
    async def away(*args: object, **kwargs: object):
        raise OperationalError("SELECT secret", {}, Exception("disk"))

    async def bug(*args: object, **kwargs: object):
        raise RuntimeError("secret")

    monkeypatch.setattr(console.service.gateways, "list_gateways", away)
    answer = await console.client.get("/api/v1/gateways")
    assert (answer.status_code, answer.json()["reason"]) == (503, "store-unavailable")
    assert "retry-after" in answer.headers
    monkeypatch.setattr(console.service.gateways, "list_gateways", bug)
    bugged = await console.client.get("/api/v1/gateways")
    assert bugged.json()["reason"] == "internal-error"
    assert "secret" not in answer.text + bugged.text


async def test_live_questions_go_over_the_session(console: Console, monkeypatch):
    gateway_id, _ = await console.registered()
    asked = []
    answers: dict[str, Any] = {
        "preflight": {"checks": [{"what": "the cloud answers", "ok": True}]},
        "inventory": {"datacenters": []},
        "kubeconfig": {"kubeconfig": "apiVersion: v1\n"},
    }

    async def request(gateway: str, verb: str, arguments: dict[str, Any], actor: Any) -> dict[str, Any]:
        asked.append((gateway, verb, actor.email))
        if isinstance(answers[verb], Exception):
            raise answers[verb]
        return answers[verb]

    monkeypatch.setattr(console.app.state.hub, "request", request)
    url = f"/api/v1/gateways/{gateway_id}"
    preflight = await console.client.post(f"{url}/preflight", json={})
    assert preflight.json()["checks"][0]["ok"] is True
    assert (await console.client.get(f"{url}/inventory")).json() == {"datacenters": []}
    assert (await console.client.post(f"{url}/kubeconfig")).json() == {"kubeconfig": "apiVersion: v1\n"}
    assert asked == [(gateway_id, verb, console.admin.email) for verb in ("preflight", "inventory", "kubeconfig")]

    wrong = await console.client.post(f"{url}/preflight", json={"configuration": {"cloud": "x"}})
    assert (wrong.status_code, len(asked)) == (422, 3)
    answers["kubeconfig"] = {"something": "else"}
    assert (await console.client.post(f"{url}/kubeconfig")).status_code == 502
    answers["kubeconfig"] = ProtocolError("too large", reason="too-large")
    assert (await console.client.post(f"{url}/kubeconfig")).status_code == 502
    answers["inventory"] = Unreachable("away", reason="gateway-away", after=1.5)
    away = await console.client.get(f"{url}/inventory")
    assert (away.status_code, away.json()["reason"], away.headers["retry-after"]) == (503, "gateway-away", "2")


async def test_the_description_is_whole(console: Console):
    document = (await console.anonymous().get("/api/openapi.json")).json()
    known = set(document["components"]["schemas"])

    def references(part: Any):
        if isinstance(part, dict):
            for key, value in part.items():
                if key == "$ref":
                    yield value.rsplit("/", 1)[-1]
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    assert set(references(document)) <= known
    assert {"GatewayView", "ProblemView", "Configuration"} <= known
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {
        ("POST", "/api/v1/gateways"), ("GET", "/api/v1/gateways"), ("GET", "/api/v1/gateways/{gateway_id}"),
        ("DELETE", "/api/v1/gateways/{gateway_id}"), ("POST", "/api/v1/gateways/{gateway_id}/pairing-code"),
        ("GET", "/api/v1/gateways/{gateway_id}/configuration"), ("PUT", "/api/v1/gateways/{gateway_id}/configuration"),
        ("PUT", "/api/v1/gateways/{gateway_id}/credentials"), ("POST", "/api/v1/gateways/{gateway_id}/reset"),
        ("GET", "/api/v1/gateways/{gateway_id}/steps"), ("GET", "/api/v1/gateways/{gateway_id}/machines"),
        ("GET", "/api/v1/gateways/{gateway_id}/findings"), ("GET", "/api/v1/gateways/{gateway_id}/events"),
        ("POST", "/api/v1/gateways/{gateway_id}/preflight"), ("GET", "/api/v1/gateways/{gateway_id}/inventory"),
        ("POST", "/api/v1/gateways/{gateway_id}/kubeconfig"), ("GET", "/api/v1/users"), ("GET", "/api/v1/keys"),
        ("GET", "/api/v1/audit"),
    } <= described  # fmt: skip
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert "application/problem+json" in answer["content"], operation["operationId"]


_TEXT = st.text(max_size=40)
_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # half surrogates too: JSON can carry them
_KEYS = st.sampled_from(["name", "cloud", "email", "password", "role", "ciphertext", "vcenter", "configuration"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT | st.sampled_from(["simulated", "admin"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
_PATHS = st.sampled_from(
    ["gateways", "gateways/{id}", "gateways/{id}/configuration", "gateways/{id}/credentials", "gateways/{id}/steps",
     "gateways/{id}/events", "gateways/{id}/reset", "gateways/{id}/preflight", "users", "users/{id}", "keys",
     "keys/{id}", "audit"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_answers_500(data: st.DataObject, loop_console):
    run, console, gateway_id = loop_console
    method = data.draw(st.sampled_from(["GET", "POST", "PUT"]))
    path = data.draw(_PATHS).replace("{id}", data.draw(st.sampled_from([gateway_id, "x", "%00", "%ff", "ä"])))
    parameters = {"after": data.draw(_TEXT), "limit": data.draw(st.sampled_from(["1", "-1", "x", "9" * 400]))}
    headers = {"If-Match": data.draw(st.sampled_from(["*", '"', "W/x"])), "Content-Type": "application/json"}
    answer = run(
        console.client.request(
            method, f"/api/v1/{path}", content=json.dumps(data.draw(_JSON)),
            params=data.draw(st.sampled_from([{}, parameters])), headers=headers,
        )
    )  # fmt: skip
    assert answer.status_code < 500 or answer.json()["reason"] in ("gateway-away", "not-connected"), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
