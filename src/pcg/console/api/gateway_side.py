"""`/gateway/v1/`: what gateways speak to (docs/protocol.md). Thin: bodies in, problems out, sockets to the hub.

None of it is part of the REST API for people, so it stands in the protocol's page and not in OpenAPI.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress

from fastapi import APIRouter, Request, WebSocket
from sqlalchemy import select
from starlette.responses import FileResponse, Response
from starlette.websockets import WebSocketDisconnect

from pcg.console.api.dependencies import client_address
from pcg.console.auth import token_hash
from pcg.console.hub import Hub
from pcg.console.pairing import Pairing
from pcg.console.releases import Releases
from pcg.console.service import Service
from pcg.console.store.models import Gateway
from pcg.errors import CredentialsRejected, Unreachable
from pcg.wire.registration import ConsoleIdentity, JetAnswer, JetRegistration, RegistrationAnswer, RegistrationRequest
from pcg.wire.release import SignedRelease

_MAXIMUM_TOKEN = 512


def router(service: Service, hub: Hub, releases: Releases) -> APIRouter:
    routes = APIRouter(prefix="/gateway/v1", include_in_schema=False)
    pairing = Pairing(service)

    @routes.get("/ca")
    async def show_ca() -> Response:
        # Older ones along with it, for codes that were handed out with their pin: who pinned takes that one alone.
        known = service.certificates.ca_pem + service.certificates.old_ca_pem
        return Response(known, media_type="application/x-pem-file")

    @routes.get("/identity")
    async def show_identity() -> ConsoleIdentity:
        return pairing.identity()

    @routes.post("/register")
    async def register(request: Request, body: RegistrationRequest) -> RegistrationAnswer:
        with service.counts.counting_refusals():
            return await pairing.register(body, client_address(request))

    @routes.get("/release")
    async def show_release() -> SignedRelease:
        """Public, as what it lists is: names, sizes and digests of this software's own files."""
        return await asyncio.to_thread(releases.manifest)

    @routes.get("/artifacts/{name}")
    async def fetch_artifact(name: str) -> FileResponse:
        return FileResponse(releases.file(name), media_type="application/octet-stream")

    @routes.post("/jet")
    async def register_jet(request: Request, body: JetRegistration) -> JetAnswer:
        """Nothing is stored: the gateway itself observes its jet, and a heartbeat writes nothing."""
        return JetAnswer(gateway_id=await _gateway_of_token(service, request.headers.get("authorization", "")))

    @routes.websocket("/session")
    async def session(websocket: WebSocket) -> None:
        try:
            await websocket.accept()
        except WebSocketDisconnect:
            return  # gone before it was answered
        socket = _Socket(websocket)
        try:
            await hub.serve(socket, client_address(websocket))
        finally:
            await socket.read_out()

    return routes


async def _gateway_of_token(service: Service, authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and 0 < len(token) <= _MAXIMUM_TOKEN:
        digest = token_hash(token.strip())
        async with service.database.read() as session:
            row = await session.scalar(select(Gateway).where(Gateway.jet_token_hash == digest))
        if row is not None and hmac.compare_digest(row.jet_token_hash or "", digest):
            return row.id
    raise CredentialsRejected(
        "This authorization token is not valid.",
        reason="token-rejected",
        cause="It is of an earlier incarnation, of a gateway that was deleted or paired anew, or none at all.",
        remedy=["Nothing: a gateway that is configured gives its jet the present token by itself."],
    )


class _Socket:
    """A WebSocket of the server as the session's transport."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise _gone() from error

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            raise _gone()
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def close(self) -> None:
        try:
            await self._websocket.close()
        except (WebSocketDisconnect, RuntimeError) as error:
            raise _gone() from error

    async def read_out(self) -> None:
        """What came and nobody took is dropped. As long as something waits, the server holds back the reading of more;
        and asyncio's TLS, once the peer has left meanwhile, ends by no close of ours, but only when it may read on."""
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(0):
                while (await self._websocket.receive())["type"] == "websocket.receive":
                    continue


def _gone() -> Unreachable:
    return Unreachable("The connection is gone.", reason="session-closed", fields={"hop": "websocket"})
