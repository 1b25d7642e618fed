"""Sign in, sign out, and the one-time link that makes the first administrator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.accounts import SESSION_LIFETIME, SignedIn
from pcg.console.api.dependencies import client_address
from pcg.console.auth import SESSION_COOKIE
from pcg.console.service import Service
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByStranger, TypedByVisitor, VisitorNeeded
from pcg.errors import Busy, CredentialsRejected, InvalidInput, Refused

Next = Annotated[str, Query(max_length=2048)]


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sign-in")
    async def sign_in_form(request: Request, next: Next = "/") -> Response:
        token = request.cookies.get(SESSION_COOKIE)
        if token and await service.accounts.actor_of_session(token):
            return RedirectResponse(own_path(next), 303)
        return page(request, None, "sign_in.html", email="", next=own_path(next), error=None)

    @routes.post("/sign-in")
    async def sign_in(request: Request, typed: TypedByStranger) -> Response:
        wanted = own_path(typed["next"])
        try:
            signed_in = await service.accounts.sign_in(typed["email"], typed["password"], client_address(request))
        except (CredentialsRejected, Busy) as error:
            status = 401 if isinstance(error, CredentialsRejected) else 429
            return page(
                request, None, "sign_in.html", status_code=status, email=typed["email"], next=wanted, error=error
            )
        return _with_session(RedirectResponse(wanted, 303), signed_in)

    @routes.post("/sign-out")
    async def sign_out(visitor: VisitorNeeded, typed: TypedByVisitor) -> Response:
        await service.accounts.sign_out(visitor.token)
        answer = RedirectResponse("/sign-in", 303)
        answer.delete_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return answer

    @routes.get("/setup")
    async def setup_form(request: Request, token: Annotated[str, Query(max_length=200)] = "") -> Response:
        if not await service.accounts.setup_possible(token):
            raise Refused(
                "This set-up link is not good any more.",
                reason="setup-over",
                remedy=["Sign in, or use the link that the console printed at its last start."],
            )
        return page(request, None, "setup.html", token=token, email="", error=None)

    @routes.post("/setup")
    async def setup(request: Request, typed: TypedByStranger) -> Response:
        email, password = typed["email"], typed["password"]
        try:
            if password != typed["repeated"]:
                raise InvalidInput("The two passwords differ.", reason="passwords-differ", field_name="repeated")
            await service.accounts.set_up(typed["token"], email, password)
        except InvalidInput as error:
            return page(request, None, "setup.html", status_code=422, token=typed["token"], email=email, error=error)
        signed_in = await service.accounts.sign_in(email, password, client_address(request))
        return _with_session(RedirectResponse("/", 303), signed_in)

    return routes


def own_path(wanted: str) -> str:
    """Only a path of ours: `//host`, `/\\host` and whole URLs would lead elsewhere."""
    ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if ours else "/"


def _with_session(answer: Response, signed_in: SignedIn) -> Response:
    answer.set_cookie(
        SESSION_COOKIE,
        signed_in.token,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer
