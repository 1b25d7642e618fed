"""`/healthz`, `/readyz` (open) and `/metrics` (with a key; Prometheus' text format)."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text
from starlette.responses import PlainTextResponse

from pcg.console.api.dependencies import ActorNeeded, ServiceNeeded
from pcg.console.api.problems import problem_responses
from pcg.console.auth import Action, require
from pcg.console.metrics import CONTENT_TYPE, family, process_families
from pcg.console.metrics import text as metrics_text
from pcg.model.states import GatewayState


class Health(BaseModel):
    status: str


def router() -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz")
    async def alive() -> Health:
        """The process answers."""
        return Health(status="ok")

    @routes.get("/readyz", responses=problem_responses(503))
    async def ready(service: ServiceNeeded) -> Health:
        """The store answers too."""
        async with service.database.read() as session:
            await session.execute(text("SELECT 1"))
        return Health(status="ok")

    @routes.get("/metrics", response_class=PlainTextResponse, responses=problem_responses(401, 403))
    async def metrics(actor: ActorNeeded, service: ServiceNeeded) -> PlainTextResponse:
        require(actor, Action.SEE_METRICS)
        states = await service.gateways.count_by_state(actor)
        counts = service.counts
        families = (
            family(
                "pcg_gateways", "gauge", "Gateways by state.",
                {(("state", state.value),): states.get(state, 0) for state in GatewayState},
            ),
            family("pcg_sessions", "gauge", "Gateways that have a session now.", service.presence.count()),
            family(
                "pcg_events_stored_total", "counter", "Events stored since this process started.",
                service.reports.events_stored,
            ),
            family(
                "pcg_console_events_throttled_total", "counter",
                "Events that waited because their gateway sent too many, since this process started.",
                service.allowances.events_throttled,
            ),
            family(
                "pcg_refused_registrations_total", "counter", "Registrations refused, by what the installer was told.",
                {(("reason", reason),): count for reason, count in sorted(counts.refused_registrations.items())},
            ),
            family(
                "pcg_requests_total", "counter", "HTTP requests answered; sessions of gateways are none.",
                {
                    (("method", method), ("route", route), ("status", status)): count
                    for (method, route, status), count in sorted(counts.requests.items())
                },
            ),
            family("pcg_requests_under_way", "gauge", "HTTP requests not answered yet, with open streams.",
                   counts.under_way),
            process_families(),
        )  # fmt: skip
        return PlainTextResponse(metrics_text(families), media_type=CONTENT_TYPE)

    return routes
