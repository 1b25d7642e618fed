"""`/gateway/v1/poll`: the frames of a session by plain HTTPS, one a request (docs/protocol.md, Long polling)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pcg.console.api.dependencies import client_address
from pcg.console.polled import WAIT_SECONDS, Polled, PolledTransport, ended
from pcg.errors import InvalidInput

Authorization = Annotated[str, Header(max_length=512)]
Wait = Annotated[float, Query(ge=0, le=WAIT_SECONDS)]


class Opened(BaseModel):
    session: str
    """the token of every further request"""


def router(polled: Polled) -> APIRouter:
    routes = APIRouter(prefix="/gateway/v1/poll", include_in_schema=False)

    @routes.post("")
    async def begin(request: Request) -> Opened:
        return Opened(session=polled.open(client_address(request)))

    @routes.post("/frames")
    async def put(request: Request, authorization: Authorization = "") -> Response:
        transport = _of(polled, authorization)
        try:
            text = (await request.body()).decode()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it; half a frame is none
        except UnicodeDecodeError:
            raise InvalidInput("A frame is text in UTF-8.", reason="frame-invalid", field_name="body") from None
        await transport.put(text)
        return Response(status_code=204)

    @routes.get("/frames")
    async def take(authorization: Authorization = "", wait: Wait = WAIT_SECONDS) -> Response:
        text = await _of(polled, authorization).take(wait)
        return Response(status_code=204) if text is None else Response(text, media_type="application/json")

    @routes.delete("")
    async def leave(authorization: Authorization = "") -> Response:
        await _of(polled, authorization).close()
        return Response(status_code=204)

    return routes


def _of(polled: Polled, authorization: str) -> PolledTransport:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ended()
    return polled.find(token.strip())
