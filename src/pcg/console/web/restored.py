"""The agreement after a restore: a page of its own first, which says what is lost and what stays."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.auth import Action, require
from pcg.console.service import Service
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByVisitor, VisitorNeeded


def router(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/gateways/{gateway_id}")

    @routes.get("/agree-restored")
    async def ask_agreement(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        require(visitor.actor, Action.AGREE_TO_RESTORE, gateway)
        machines = await service.observations.machines(visitor.actor, gateway_id)
        mark = await service.restored.mark()
        return page(request, visitor, "agree_restored.html", gateway=gateway, machines=machines, mark=mark)

    @routes.post("/agree-restored")
    async def agree(visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str) -> Response:
        await service.restored.agree(visitor.actor, gateway_id)
        return RedirectResponse(f"/gateways/{gateway_id}", 303)

    return routes
