"""The data center's API over HTTP, as its driver (`cloud.py`) speaks it: JSON, a session's token in `Authorization`.

Sessions live in memory only: after a restart a client logs in again, as with a real one.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pcg.clouds.simulated.datacenter import DataCenter
from pcg.clouds.simulated.refusals import STATUS, Refusal
from pcg.clouds.simulated.requests import (
    ImageRequest,
    LoginRequest,
    MachineRequest,
    OverviewRequest,
    StartRequest,
    TemplateRequest,
)

LONGEST_WAIT = 300.0
"""seconds that one wait for changes may last"""
MOST_SESSIONS = 100
LARGEST_BODY = 1024 * 1024

Handler = Callable[[Request], Awaitable[Any]]


@dataclass
class Sessions:
    """One account; its tokens of this life of the process."""

    username: str
    password: str = field(repr=False)
    tokens: list[str] = field(default_factory=list, repr=False)

    def log_in(self, request: LoginRequest) -> str:
        """Raises Refusal `login-refused`."""
        same = hmac.compare_digest(request.username.encode(), self.username.encode())
        if not (hmac.compare_digest(request.password.encode(), self.password.encode()) and same):
            raise Refusal("login-refused", f"{request.username} or the password is wrong.")
        token = secrets.token_urlsafe(24)
        self.tokens = [*self.tokens[-MOST_SESSIONS + 1 :], token]
        return token

    def demand(self, given: str) -> None:
        """Raises Refusal `not-authenticated`."""
        token = given.removeprefix("Bearer ").encode()
        if not any(hmac.compare_digest(token, known.encode()) for known in self.tokens):
            raise Refusal("not-authenticated", "The session is not authenticated.")


def api_application(center: DataCenter, sessions: Sessions) -> Starlette:
    """Every path but the login wants a session."""

    def inside(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not center.door.knows_sessions():
                sessions.tokens = []
            sessions.demand(request.headers.get("authorization", ""))
            center.calls["calls"] += 1
            answer = await handler(request)
            return Response(status_code=204) if answer is None else JSONResponse(answer)

        return checked

    async def log_in(request: Request) -> Response:
        token = sessions.log_in(LoginRequest.model_validate_json(await _body(request)))
        if not center.door.admits():
            raise Refusal("login-refused", f"The account {sessions.username} is locked.")
        return JSONResponse({"token": token})

    async def log_out(request: Request) -> Any:
        token = request.headers["authorization"].removeprefix("Bearer ")
        sessions.tokens = [known for known in sessions.tokens if known != token]

    async def overview(request: Request) -> Any:
        wanted = OverviewRequest.model_validate_json(await _body(request))
        return {"placements": center.overview(wanted.placements, wanted.gateway)}

    async def inventory(request: Request) -> Any:
        return center.inventory()

    async def template(request: Request) -> Any:
        return center.template(request.query_params.get("folder", ""), request.query_params.get("name", ""))

    async def import_template(request: Request) -> Any:
        return center.import_template(TemplateRequest.model_validate_json(await _body(request)))

    async def probe_image(request: Request) -> Any:
        await center.probe_image(ImageRequest.model_validate_json(await _body(request)).url)
        return {}

    async def machines(request: Request) -> Any:
        return center.list_machines(request.query_params.get("gateway", ""))

    async def create_machine(request: Request) -> Any:
        return center.create_machine(MachineRequest.model_validate_json(await _body(request)))

    async def start_machine(request: Request) -> Any:
        size = StartRequest.model_validate_json(await _body(request) or b"{}")
        return center.start_machine(request.path_params["id"], size)

    async def delete_machine(request: Request) -> Any:
        return center.delete_machine(request.path_params["id"], request.query_params.get("instance", ""))

    async def clear_user_data(request: Request) -> Any:
        return center.clear_user_data(request.path_params["id"], request.query_params.get("instance", ""))

    async def events(request: Request) -> Any:
        values = request.query_params
        found = center.events.about(values.get("kind", ""), values.get("machine", ""), values.get("name", ""))
        return {"events": found}

    async def tasks(request: Request) -> Any:
        return {"tasks": center.list_tasks(request.query_params.get("gateway", ""))}

    async def task(request: Request) -> Any:
        return center.task(request.path_params["id"])

    async def changes(request: Request) -> Any:
        values = request.query_params
        try:
            after, timeout = int(values["after"]), min(float(values["timeout"]), LONGEST_WAIT)
        except (KeyError, ValueError):
            raise Refusal("invalid", "after and timeout must be numbers.") from None
        return {"revision": await center.news.wait(values.get("gateway", ""), after, timeout)}

    return Starlette(
        routes=[
            Route("/api/session", log_in, methods=["POST"]),
            Route("/api/session", inside(log_out), methods=["DELETE"]),
            Route("/api/overview", inside(overview), methods=["POST"]),
            Route("/api/inventory", inside(inventory), methods=["GET"]),
            Route("/api/templates", inside(template), methods=["GET"]),
            Route("/api/templates", inside(import_template), methods=["POST"]),
            Route("/api/images/probe", inside(probe_image), methods=["POST"]),
            Route("/api/machines", inside(machines), methods=["GET"]),
            Route("/api/machines", inside(create_machine), methods=["POST"]),
            Route("/api/machines/{id}/start", inside(start_machine), methods=["POST"]),
            Route("/api/machines/{id}", inside(delete_machine), methods=["DELETE"]),
            Route("/api/machines/{id}/user-data", inside(clear_user_data), methods=["DELETE"]),
            Route("/api/events", inside(events), methods=["GET"]),
            Route("/api/tasks", inside(tasks), methods=["GET"]),
            Route("/api/tasks/{id}", inside(task), methods=["GET"]),
            Route("/api/changes", inside(changes), methods=["GET"]),
        ],
        exception_handlers={Refusal: _refused, ValidationError: _invalid},
    )


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST_BODY:
            raise Refusal("invalid", f"The request is larger than {LARGEST_BODY} bytes.")
    return bytes(content)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.document(), STATUS[error.kind])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    refusal = Refusal("invalid", f"{where}: {first['msg']}", {"field": where})
    return JSONResponse(refusal.document(), STATUS["invalid"])
