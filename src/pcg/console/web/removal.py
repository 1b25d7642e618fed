"""Reset, rebuild and deletion of a gateway: each asks on a page of its own first and says what will happen."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.auth import Action, require
from pcg.console.service import Service
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByVisitor, VisitorNeeded


def router(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/gateways/{gateway_id}")

    async def ask(
        request: Request, visitor: VisitorNeeded, gateway_id: str, template: str, *needed: Action
    ) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        for action in needed:
            require(visitor.actor, action, gateway)
        machines = await service.observations.machines(visitor.actor, gateway_id)
        return page(request, visitor, template, gateway=gateway, machines=machines)

    @routes.get("/reset")
    async def ask_reset(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        return await ask(request, visitor, gateway_id, "reset.html", Action.RESET)

    @routes.post("/reset")
    async def reset(visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str) -> Response:
        await service.gateways.reset(visitor.actor, gateway_id)
        return RedirectResponse(f"/gateways/{gateway_id}", 303)

    @routes.get("/rebuild")
    async def ask_rebuild(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        return await ask(request, visitor, gateway_id, "rebuild.html", Action.RESET, Action.CONFIGURE)

    @routes.post("/rebuild")
    async def rebuild(visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str) -> Response:
        await service.configurations.rebuild(visitor.actor, gateway_id)
        return RedirectResponse(f"/gateways/{gateway_id}", 303)

    @routes.get("/delete")
    async def ask_delete(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        return await ask(request, visitor, gateway_id, "delete.html", Action.DELETE)

    @routes.post("/delete")
    async def delete(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        deletion = await service.gateways.delete(visitor.actor, gateway_id, force=typed["force"] == "yes")
        if not deletion.deleted:
            return RedirectResponse(f"/gateways/{gateway_id}", 303)
        if not deletion.remaining:
            return RedirectResponse("/", 303)
        return page(request, visitor, "deleted.html", gateway=gateway, remaining=deletion.remaining)

    return routes
