"""Download logs: a page that asks for a gateway's log bundle and lists the last ones, and a page that follows one."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.api.bundles import BundlesNeeded, archive_answer
from pcg.console.auth import Action, require
from pcg.console.bundle_records import BundleState
from pcg.console.service import Service
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByVisitor, VisitorNeeded
from pcg.errors import PcgError

PROGRESS = {
    BundleState.ASKED: "The gateway is being asked.",
    BundleState.COLLECTING: "The gateway reads its logs and takes the secrets out.",
    BundleState.RECEIVING: "The archive is on its way here.",
    BundleState.ANALYSING: "The logs are looked at.",
    BundleState.READY: "The archive is here.",
    BundleState.FAILED: "The archive could not be had.",
}


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    async def ask_page(
        request: Request, visitor: VisitorNeeded, bundles: BundlesNeeded, gateway_id: str, error: PcgError | None = None
    ) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        require(visitor.actor, Action.DOWNLOAD_LOGS, gateway)
        return page(
            request,
            visitor,
            "bundles.html",
            status_code=409 if error else 200,
            gateway=gateway,
            kept=await bundles.of_gateway(visitor.actor, gateway_id),
            error=error,
        )

    @routes.get("/gateways/{gateway_id}/bundles")
    async def ask(request: Request, visitor: VisitorNeeded, bundles: BundlesNeeded, gateway_id: str) -> Response:
        return await ask_page(request, visitor, bundles, gateway_id)

    @routes.post("/gateways/{gateway_id}/bundles")
    async def begin(
        request: Request, visitor: VisitorNeeded, bundles: BundlesNeeded, typed: TypedByVisitor, gateway_id: str
    ) -> Response:
        try:
            made = await bundles.ask(visitor.actor, gateway_id, pseudonyms=typed["pseudonyms"] == "yes")
        except PcgError as error:
            if error.reason not in ("gateway-away", "bundle-under-way", "bundle-not-kept"):
                raise
            return await ask_page(request, visitor, bundles, gateway_id, error)
        return RedirectResponse(f"/bundles/{made.id}", 303)

    @routes.get("/bundles/{bundle_id}")
    async def follow(request: Request, visitor: VisitorNeeded, bundles: BundlesNeeded, bundle_id: str) -> Response:
        bundle = await bundles.get(visitor.actor, bundle_id)
        gateway = await service.gateways.get(visitor.actor, bundle.gateway_id)
        return page(request, visitor, "bundle.html", gateway=gateway, bundle=bundle, progress=PROGRESS[bundle.state])

    @routes.get("/bundles/{bundle_id}/archive")
    async def download(visitor: VisitorNeeded, bundles: BundlesNeeded, bundle_id: str) -> Response:
        return await archive_answer(bundles, visitor.actor, bundle_id)

    return routes
