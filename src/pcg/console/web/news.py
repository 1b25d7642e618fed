"""Server-sent events (WHATWG HTML, 9.2) that say only that something changed; the page then fetches itself again.

Listened to by `static/live.js`, on one connection a page: browsers allow six to one host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from pcg.console.api.event_stream import MEDIA_TYPE
from pcg.console.service import Service
from pcg.console.streams import Subscription
from pcg.console.web.visitor import VisitorNeeded, visitor_of
from pcg.errors import PcgError

_PING_SECONDS = 15.0
"""proxies end connections that are silent, commonly after 30 or 60 seconds"""


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/news")
    async def news_of_all(request: Request, visitor: VisitorNeeded) -> StreamingResponse:
        return _stream(request, service, None)

    @routes.get("/gateways/{gateway_id}/news")
    async def news_of_one(request: Request, visitor: VisitorNeeded, gateway_id: str) -> StreamingResponse:
        await service.gateways.get(visitor.actor, gateway_id)
        return _stream(request, service, gateway_id)

    return routes


def _stream(request: Request, service: Service, gateway_id: str | None) -> StreamingResponse:
    return StreamingResponse(
        news_lines(request, service, gateway_id),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def news_lines(request: Request, service: Service, gateway_id: str | None) -> AsyncIterator[str]:
    """Ends when the session ends or the console stops. Begins at once: news may have been missed before."""
    with service.streams.subscribe(gateway_id) as news:
        yield "data: changed\n\n"
        while (changed := await _changed(news)) is not None:
            try:
                await visitor_of(request, service)
            except PcgError:
                return
            yield "data: changed\n\n" if changed else ": still here\n\n"


async def _changed(news: Subscription) -> bool | None:
    """False when it is time for a ping; None when the console stops."""
    try:
        async with asyncio.timeout(_PING_SECONDS):
            return None if await anext(news, None) is None else True
    except TimeoutError:
        return False
