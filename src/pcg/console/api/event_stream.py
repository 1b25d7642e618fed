"""Events as server-sent events (WHATWG HTML, 9.2): what is stored after a position, then each new one as it comes.

Not sse-starlette: it replaces uvicorn's signal handling for the whole process and polls for the server's end; our
streams end by `Streams.close`, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.responses import StreamingResponse

from pcg.console.api.dependencies import authenticate
from pcg.console.paging import DEFAULT_LIMIT
from pcg.console.service import Service
from pcg.console.streams import Subscription, Topic
from pcg.console.views import EventView
from pcg.errors import PcgError

MEDIA_TYPE = "text/event-stream"

_PING_SECONDS = 15.0
"""proxies end connections that are silent, commonly after 30 or 60 seconds"""


def event_stream(request: Request, service: Service, gateway_id: str, after: int) -> StreamingResponse:
    """Ends when the gateway is deleted, the user's right ends, or the console stops."""
    return StreamingResponse(
        _lines(request, service, gateway_id, after),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(request: Request, service: Service, gateway_id: str, after: int) -> AsyncIterator[str]:
    with service.streams.subscribe(gateway_id) as news:
        yield ": events follow\n\n"
        while True:
            try:
                # Asked again each time: a key may have been revoked while the stream was open.
                actor = await authenticate(request, service)
                page = await service.observations.events(actor, gateway_id, after=after, limit=DEFAULT_LIMIT)
            except PcgError:
                return
            for event in page.items:
                yield _message(event)
                after = event.position
            if page.next is None:
                topics = await _news_or_ping(news)
                while topics is not None and not topics & {Topic.EVENTS, Topic.DESIRED, Topic.STATUS}:
                    yield ": still here\n\n"
                    topics = await _news_or_ping(news)
                if topics is None:
                    return


async def _news_or_ping(news: Subscription) -> set[Topic] | None:
    """What changed; empty when it is time for a ping; None when the console stops."""
    try:
        async with asyncio.timeout(_PING_SECONDS):
            return await anext(news, None)
    except TimeoutError:
        return set()


def _message(event: EventView) -> str:
    return f"id: {event.position}\ndata: {event.model_dump_json()}\n\n"
