"""Log bundles of gateways: ask for one, follow it, download it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.responses import FileResponse

from pcg.console.api.dependencies import ActorNeeded
from pcg.console.api.problems import problem_responses
from pcg.console.bundles import Bundles, BundleView
from pcg.console.paging import Page

MEDIA_TYPE = "application/gzip"


class BundleWish(BaseModel):
    pseudonyms: bool = False
    """host names, addresses and users by pseudonyms too; secrets are always taken out"""


def bundles_of(request: Request) -> Bundles:
    bundles = request.app.state.bundles
    assert isinstance(bundles, Bundles)
    return bundles


BundlesNeeded = Annotated[Bundles, Depends(bundles_of)]


def router() -> APIRouter:
    routes = APIRouter(tags=["bundles"], responses=problem_responses(401, 403, 404))

    @routes.post(
        "/gateways/{gateway_id}/bundles",
        status_code=202,
        responses={
            202: {"headers": {"Location": {"schema": {"type": "string"}}}},
            **problem_responses(409, 422, 503),
        },
    )
    async def ask_for_bundle(
        actor: ActorNeeded, bundles: BundlesNeeded, gateway_id: str, response: Response, body: BundleWish | None = None
    ) -> BundleView:
        """The gateway collects its logs without their secrets; follow the answer's `Location`. One at a time."""
        made = await bundles.ask(actor, gateway_id, pseudonyms=body is not None and body.pseudonyms)
        response.headers["Location"] = f"/api/v1/bundles/{made.id}"
        return made

    @routes.get("/gateways/{gateway_id}/bundles")
    async def list_bundles(actor: ActorNeeded, bundles: BundlesNeeded, gateway_id: str) -> Page[BundleView]:
        """The latest first; the last three are kept, for seven days."""
        return Page(items=await bundles.of_gateway(actor, gateway_id))

    @routes.get("/bundles/{bundle_id}")
    async def show_bundle(actor: ActorNeeded, bundles: BundlesNeeded, bundle_id: str) -> BundleView:
        """How far it is; when it is ready, what its logs show and what is missing in it."""
        return await bundles.get(actor, bundle_id)

    @routes.get(
        "/bundles/{bundle_id}/archive",
        response_class=FileResponse,
        responses={
            200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
            **problem_responses(409),
        },
    )
    async def download_bundle(actor: ActorNeeded, bundles: BundlesNeeded, bundle_id: str) -> FileResponse:
        """A tar archive packed with gzip; audited."""
        return await archive_answer(bundles, actor, bundle_id)

    return routes


async def archive_answer(bundles: Bundles, actor: ActorNeeded, bundle_id: str) -> FileResponse:
    path, name = await bundles.archive(actor, bundle_id)
    return FileResponse(path, media_type=MEDIA_TYPE, filename=name)
