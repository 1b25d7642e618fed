"""`/api/v1/gateways`: make, list, show, pair, reset, delete, and what a gateway told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from pcg.console.api.dependencies import ActorNeeded, After, Limit, ServiceNeeded
from pcg.console.api.event_stream import MEDIA_TYPE, event_stream
from pcg.console.api.problems import problem_responses
from pcg.console.paging import DEFAULT_LIMIT, Page, position
from pcg.console.views import DeletionView, EventView, FindingView, GatewayView, MachineView, PairingView
from pcg.model.configuration import CloudKind
from pcg.model.records import StepReport


class NewGateway(BaseModel):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$")]
    """1 to 63 letters, digits, blanks, dots, hyphens; begins and ends with a letter or digit"""
    cloud: CloudKind


def router() -> APIRouter:
    routes = APIRouter(prefix="/gateways", tags=["gateways"], responses=problem_responses(401, 403))

    @routes.post("", status_code=201, responses=problem_responses(400, 409, 422))
    async def create_gateway(actor: ActorNeeded, service: ServiceNeeded, body: NewGateway) -> PairingView:
        """Makes a gateway and its first pairing code, which is shown here once."""
        return await service.gateways.create(actor, body.name, body.cloud)

    @routes.get("", responses=problem_responses(422))
    async def list_gateways(
        actor: ActorNeeded, service: ServiceNeeded, after: After = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[GatewayView]:
        """By name."""
        return await service.gateways.list_gateways(actor, after=after, limit=limit)

    @routes.get("/{gateway_id}", responses=problem_responses(404))
    async def show_gateway(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> GatewayView:
        return await service.gateways.get(actor, gateway_id)

    @routes.delete(
        "/{gateway_id}",
        responses={202: {"model": DeletionView, "description": "Asked"}, **problem_responses(404, 409, 422)},
    )
    async def delete_gateway(
        actor: ActorNeeded,
        service: ServiceNeeded,
        gateway_id: str,
        response: Response,
        force: Annotated[bool, Query(description="do not wait for the gateway; says what stays")] = False,
    ) -> DeletionView:
        """200: it is gone; 202: the gateway removes its machines first."""
        deletion = await service.gateways.delete(actor, gateway_id, force=force)
        response.status_code = 200 if deletion.deleted else 202
        return deletion

    @routes.post("/{gateway_id}/pairing-code", status_code=201, responses=problem_responses(404, 409))
    async def new_pairing_code(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> PairingView:
        """On a registered gateway: re-pairing."""
        return await service.gateways.new_pairing_code(actor, gateway_id)

    @routes.post("/{gateway_id}/reset", responses=problem_responses(404, 409))
    async def reset_gateway(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> GatewayView:
        """Pending at once; the machines are removed meanwhile."""
        return await service.gateways.reset(actor, gateway_id)

    @routes.post("/{gateway_id}/rebuild", responses=problem_responses(404, 409))
    async def rebuild_gateway(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> GatewayView:
        """A new cluster with the same configuration; the present machines are removed first."""
        await service.configurations.rebuild(actor, gateway_id)
        return await service.gateways.get(actor, gateway_id)

    @routes.post("/{gateway_id}/agree-restored", responses=problem_responses(404))
    async def agree_restored(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> GatewayView:
        """After a restore: this console's next change counts, though the gateway has a newer desired state.

        What runs there stays until then. Changes nothing where the gateway has nothing newer.
        """
        await service.restored.agree(actor, gateway_id)
        return await service.gateways.get(actor, gateway_id)

    @routes.get("/{gateway_id}/steps", responses=problem_responses(404))
    async def list_steps(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> Page[StepReport]:
        """All ten, in order."""
        return Page(items=await service.observations.steps(actor, gateway_id))

    @routes.get("/{gateway_id}/machines", responses=problem_responses(404))
    async def list_machines(actor: ActorNeeded, service: ServiceNeeded, gateway_id: str) -> Page[MachineView]:
        return Page(items=await service.observations.machines(actor, gateway_id))

    @routes.get("/{gateway_id}/findings", responses=problem_responses(404, 422))
    async def list_findings(
        actor: ActorNeeded,
        service: ServiceNeeded,
        gateway_id: str,
        closed: Annotated[bool, Query(description="the history instead, the latest first")] = False,
        after: After = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Page[FindingView]:
        """Known failures that are there now, on one page; with severity info, notices. Or those that are over."""
        if not closed:
            return Page(items=await service.observations.findings(actor, gateway_id))
        return await service.observations.closed_findings(actor, gateway_id, before=position(after), limit=limit)

    @routes.get(
        "/{gateway_id}/events",
        response_model=Page[EventView],
        responses={
            200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "A page, or the stream"},
            **problem_responses(404, 422),
        },
    )
    async def list_events(
        request: Request,
        actor: ActorNeeded,
        service: ServiceNeeded,
        gateway_id: str,
        after: After = None,
        limit: Limit = DEFAULT_LIMIT,
        last_event_id: Annotated[str | None, Header(max_length=20)] = None,
    ) -> Page[EventView] | StreamingResponse:
        """In order. With `Accept: text/event-stream` the events after `after` (or Last-Event-ID), then each new one."""
        streamed = MEDIA_TYPE in request.headers.get("accept", "")
        start = position(last_event_id if streamed and last_event_id else after) or 0
        if not streamed:
            return await service.observations.events(actor, gateway_id, after=start, limit=limit)
        await service.gateways.get(actor, gateway_id)
        return event_stream(request, service, gateway_id, start)

    return routes
