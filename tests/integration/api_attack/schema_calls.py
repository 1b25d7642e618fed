"""Schemathesis' cases sent to the application in this process, and what must hold of every answer.

Schemathesis has a transport of its own for ASGI, which opens a loop for each request; the store belongs to one loop.
So a case is made into the bytes that it would be on the wire, sent in the world's loop, and the answer given back.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import CheckFunction, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

from integration.console.conftest import BASE
from pcg.console.api.problems import MEDIA_TYPE, ProblemView

from .conftest import LoopWorld
from .world import World

load_all_checks()

CHECKS: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]
"""not_a_server_error stands in `check_problem`, which also knows the one answer that is no failure of the console"""

LIVE = ("/preflight", "/inventory", "/kubeconfig", "/bundles")
AWAY = {"gateway-away", "busy"}
"""503: what a question to a gateway may end with through no fault of the console"""

ACTORS = ("none", "viewer", "operator", "admin")

_CONFIGURATION: dict[str, Any] = {
    "base-url": BASE,
    # The actors of the tests sign in, not generated ones.
    "generation": {"with-security-parameters": False, "deterministic": True, "database": "none"},
    # Well-formed is not all that a value must be: whether it is an e-mail or a sealed box is looked at further (422).
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "412", "422", "503"]},
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "405", "409", "412", "413", "422"]
        },
    },
}


def load(document: dict[str, Any]) -> BaseSchema:
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(_CONFIGURATION))


def attack(loop_world: LoopWorld, case: Case, actor: str) -> Response:
    """Send it as this actor, and check the answer against the description. Raises AssertionError and Failures."""
    response = loop_world.run(send(loop_world.world, case, actor))
    check(response, case)
    return response


def check(response: Response, case: Case) -> None:
    case.validate_response(response, checks=CHECKS)
    check_problem(response, case)


async def send(world: World, case: Case, actor: str) -> Response:
    # Streams have tests of their own; `Accept` is not part of the description.
    parts = case.as_transport_kwargs(base_url=BASE, headers={"Accept": "application/json"})
    prepared = requests.Request(**{name: parts[name] for name in parts if name != "verify"}).prepare()
    for name in ("Authorization", "authorization", "Cookie"):
        prepared.headers.pop(name, None)
    if actor != "none":
        prepared.headers["Authorization"] = f"Bearer {world.keys[actor]}"
    headers = [(_raw(name), _raw(value)) for name, value in prepared.headers.items()]
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
    answer = await world.client.send(
        httpx.Request(str(prepared.method), str(prepared.url), headers=headers, content=body)
    )
    await world.settle(str(prepared.method), answer.status_code)
    return Response(
        status_code=answer.status_code,
        headers={name: answer.headers.get_list(name) for name in answer.headers},
        content=answer.content,
        request=prepared,
        elapsed=0.0,
        verify=True,
        encoding=answer.encoding,
    )


def check_problem(response: Response, case: Case) -> None:
    """No failure of the console; every refusal is a problem, and one of the input names the field."""
    status = response.status_code
    told = f"{case.method} {case.formatted_path}: {status} {response.text[:1000]}"
    assert "Traceback" not in response.text, told
    if status < 400:
        return
    assert response.headers["content-type"] == [MEDIA_TYPE], told
    problem = ProblemView.model_validate({**json.loads(response.content)}, extra="forbid")
    assert problem.status == status, told
    if status >= 500:
        assert case.path.endswith(LIVE), told
        assert (status, problem.reason in AWAY) == (503, True), told
    if status in (400, 422):
        assert problem.field or "the whole" in problem.detail or "must be a mapping" in problem.detail, told


def _raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
