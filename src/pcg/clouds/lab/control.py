"""The control side of a data center that is not there: what a lab does to it and asks of it, as HTTP below `/lab`.

Behind a key that the data center prints to whoever started it. Used by the demo, by drills, tests and benchmarks;
console, gateway and diagnosis never come here.
"""

from __future__ import annotations

import hmac
from typing import Any, Protocol

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pcg.errors import NotFound, PcgError

EDGE = "edge/"
"""how the names of the edge's faults begin"""


class Faulty(Protocol):
    """What has faults. NotFound for an unknown one."""

    async def faults(self) -> dict[str, dict[str, Any]]:
        """Name of each: `on`, and `hits`, the faulty part's own counter."""
        ...

    async def switch(self, fault: str, *, on: bool) -> None: ...


class Laboratory(Faulty, Protocol):
    """What each data center offers to its lab. NotFound for an unknown fault or machine."""

    async def task_log(self) -> list[dict[str, Any]]:
        """kind, object, started and finished (None while it runs) in seconds of one monotonic clock."""
        ...

    async def counters(self) -> dict[str, int]: ...

    async def reset_counters(self) -> None: ...

    async def machines(self) -> list[dict[str, Any]]:
        """id, name, instance, marks, power and address of every machine, strangers too."""
        ...

    async def add_stranger(self, name: str) -> str: ...

    async def copy(self, machine_id: str) -> str:
        """As a person clones: the marks come along, the instance id does not."""
        ...

    async def power_off(self, machine_id: str) -> None: ...

    async def reconfigure(self, machine_id: str, cpus: int, memory: int) -> None:
        """As a person does it, also while it runs; `memory` in GiB."""
        ...

    async def remove(self, machine_id: str) -> None: ...

    async def touch(self) -> None:
        """Make a piece of news about every machine that leaves nothing to do."""
        ...


class _Switch(BaseModel):
    on: bool


class _Stranger(BaseModel):
    name: str = Field(min_length=1, max_length=80)


class _Size(BaseModel):
    cpus: int = Field(ge=1, le=128)
    memory: int = Field(ge=1, le=1024)


def control_application(laboratory: Laboratory, key: str, edge: Faulty | None = None) -> ASGIApp:
    """With an `edge`, its faults stand beside the data center's own."""

    async def faults(request: Request) -> Response:
        return JSONResponse(await laboratory.faults() | (await edge.faults() if edge else {}))

    async def switch(request: Request) -> Response:
        wanted = _Switch.model_validate_json(await request.body())
        name = request.path_params["name"]
        await (edge if edge and name.startswith(EDGE) else laboratory).switch(name, on=wanted.on)
        return JSONResponse({"on": wanted.on})

    async def tasks(request: Request) -> Response:
        return JSONResponse({"tasks": await laboratory.task_log()})

    async def counters(request: Request) -> Response:
        return JSONResponse(await laboratory.counters())

    async def reset_counters(request: Request) -> Response:
        await laboratory.reset_counters()
        return Response(status_code=204)

    async def machines(request: Request) -> Response:
        return JSONResponse({"machines": await laboratory.machines()})

    async def add_stranger(request: Request) -> Response:
        stranger = _Stranger.model_validate_json(await request.body())
        return JSONResponse({"id": await laboratory.add_stranger(stranger.name)}, 201)

    async def copy(request: Request) -> Response:
        return JSONResponse({"id": await laboratory.copy(request.path_params["id"])}, 201)

    async def power_off(request: Request) -> Response:
        await laboratory.power_off(request.path_params["id"])
        return Response(status_code=204)

    async def reconfigure(request: Request) -> Response:
        size = _Size.model_validate_json(await request.body())
        await laboratory.reconfigure(request.path_params["id"], size.cpus, size.memory)
        return Response(status_code=204)

    async def remove(request: Request) -> Response:
        await laboratory.remove(request.path_params["id"])
        return Response(status_code=204)

    async def touch(request: Request) -> Response:
        await laboratory.touch()
        return Response(status_code=204)

    routes = [
        Route("/lab/faults", faults),
        Route("/lab/faults/{name:path}", switch, methods=["PUT"]),
        Route("/lab/tasks", tasks),
        Route("/lab/counters", counters),
        Route("/lab/counters/reset", reset_counters, methods=["POST"]),
        Route("/lab/machines", machines),
        Route("/lab/machines", add_stranger, methods=["POST"]),
        Route("/lab/machines/{id}/clone", copy, methods=["POST"]),
        Route("/lab/machines/{id}/power-off", power_off, methods=["POST"]),
        Route("/lab/machines/{id}/reconfigure", reconfigure, methods=["POST"]),
        Route("/lab/machines/{id}", remove, methods=["DELETE"]),
        Route("/lab/touch", touch, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {PcgError: _refused, ValidationError: _refused}
    return _Keyed(Starlette(routes=routes, exception_handlers=handlers), key)


async def _refused(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, PcgError) else 422
    return JSONResponse({"error": str(error)}, status)


class _Keyed:
    """Answers 401 to whoever does not know the key."""

    def __init__(self, inner: ASGIApp, key: str) -> None:
        self._inner = inner
        self._wanted = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                await JSONResponse({"error": "the control key is wrong"}, 401)(scope, receive, send)
                return
        await self._inner(scope, receive, send)
