"""A gateway's details in three tabs: Overview (steps, findings, machines), Events and Configuration."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from pcg.console.service import Service
from pcg.console.web.configuration_text import as_yaml
from pcg.console.web.gateways import CLOUDS
from pcg.console.web.templating import page
from pcg.console.web.visitor import VisitorNeeded
from pcg.model.states import Severity, StepState

EVENTS_SHOWN = 100
CLOSED_SHOWN = 20
"""findings of the history"""


def router(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/gateways/{gateway_id}")

    @routes.get("")
    async def overview(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        actor = visitor.actor
        gateway = await service.gateways.get(actor, gateway_id)
        steps = await service.observations.steps(actor, gateway_id)
        told = await service.observations.findings(actor, gateway_id)
        return page(
            request,
            visitor,
            "overview.html",
            gateway=gateway,
            cloud=CLOUDS[gateway.cloud],
            steps=steps,
            done=sum(step.state is StepState.DONE for step in steps),
            findings=[item for item in told if item.severity is not Severity.INFO],
            beside={step.name: [item for item in told if item.step == step.name] for step in steps},
            history=await service.observations.closed_findings(actor, gateway_id, limit=CLOSED_SHOWN),
            notices=[item for item in told if item.severity is Severity.INFO and item.step is None],
            machines=await service.observations.machines(actor, gateway_id),
        )

    @routes.get("/events")
    async def events(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        latest = await service.observations.latest_events(visitor.actor, gateway_id, EVENTS_SHOWN)
        return page(
            request,
            visitor,
            "events.html",
            gateway=gateway,
            events=latest[::-1],
            newest=latest[-1].position if latest else 0,
            shown=EVENTS_SHOWN,
        )

    @routes.get("/configuration")
    async def configuration(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        versions = await service.configurations.history(visitor.actor, gateway_id)
        texts = [(version.generation, as_yaml(version.configuration)) for version in versions]
        return page(request, visitor, "configuration.html", gateway=gateway, versions=texts)

    return routes
