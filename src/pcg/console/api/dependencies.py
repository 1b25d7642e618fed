"""What routes ask for: the service, the hub, and the user behind a request. Used by the routers of `api` and `web`."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.requests import HTTPConnection

from pcg.console.auth import CSRF_HEADER, SESSION_COOKIE, Actor, check_csrf, check_origin
from pcg.console.hub import Hub
from pcg.console.paging import MAXIMUM_LIMIT
from pcg.console.service import Service
from pcg.errors import Refused

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def service_of(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def hub_of(request: Request) -> Hub:
    hub = request.app.state.hub
    assert isinstance(hub, Hub)
    return hub


def public_urls_of(request: Request) -> tuple[str, ...]:
    urls: tuple[str, ...] = request.app.state.public_urls
    return urls


async def authenticate(request: Request, service: Service) -> Actor:
    """An API key, or a browser's session with its CSRF token for changes. Raises Refused (`not-signed-in`, 401)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    actor = None
    if scheme.lower() == "bearer" and value:
        actor = await service.accounts.actor_of_key(value.strip())
        if actor is None:
            service.collapsed.note("key-refused", reason="no-such-key", address=client_address(request))
    elif not scheme and (token := request.cookies.get(SESSION_COOKIE)):
        actor = await service.accounts.actor_of_session(token)
        if actor is not None and request.method not in SAFE_METHODS:
            check_origin(request.headers, public_urls_of(request))
            check_csrf(token, request.headers.get(CSRF_HEADER))
    if actor is None:
        raise not_signed_in()
    return actor


async def _actor_of(request: Request, service: ServiceNeeded) -> Actor:
    return await authenticate(request, service)


async def _actor_by_password_or_key(request: Request, service: ServiceNeeded) -> Actor:
    """`pcg login` trades e-mail and password (HTTP Basic) for a key; nothing else takes a password."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return await authenticate(request, service)
    try:
        email, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise not_signed_in() from None
    return await service.accounts.check_password(email, password, client_address(request))


def client_address(connection: HTTPConnection) -> str:
    """Of a request or a WebSocket; empty when the server does not know it."""
    return connection.client.host if connection.client else ""


def not_signed_in() -> Refused:
    return Refused(
        "This needs a key or a session.",
        reason="not-signed-in",
        remedy=["Send `Authorization: Bearer pcg_…` with a key that exists, or sign in."],
    )


ServiceNeeded = Annotated[Service, Depends(service_of)]
HubNeeded = Annotated[Hub, Depends(hub_of)]
ActorNeeded = Annotated[Actor, Depends(_actor_of)]
ActorByPasswordOrKey = Annotated[Actor, Depends(_actor_by_password_or_key)]
Limit = Annotated[int, Query(ge=1, le=MAXIMUM_LIMIT, description="at most so many items")]
After = Annotated[str | None, Query(max_length=254, pattern=r"^[^\x00]*$", description="`next` of the page before")]
