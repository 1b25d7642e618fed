"""What everybody has of their own: API keys and a password; and the link by which a user chooses a new password without
being signed in. Joined by `pages.py`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from pcg.console.api.dependencies import After, client_address
from pcg.console.api.people import NewKey
from pcg.console.paging import DEFAULT_LIMIT
from pcg.console.service import Service
from pcg.console.user_changes import same_twice
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByStranger, TypedByVisitor, Visitor, VisitorNeeded
from pcg.errors import Busy, CredentialsRejected, InvalidInput, PcgError

Token = Annotated[str, Query(max_length=200)]


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/keys")
    async def list_keys(request: Request, visitor: VisitorNeeded, after: After = None) -> Response:
        return await _keys_page(request, visitor, after=after)

    @routes.post("/keys")
    async def create_key(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor) -> Response:
        name = typed["name"].strip()
        try:
            made = await service.accounts.create_key(visitor.actor, _checked(name))
        except InvalidInput as error:
            return await _keys_page(request, visitor, name=name, error=error)
        return page(request, visitor, "new_key.html", status_code=201, made=made)

    @routes.get("/keys/{key_id}/revoke")
    async def ask_revoke(request: Request, visitor: VisitorNeeded, key_id: str) -> Response:
        return page(request, visitor, "revoke_key.html", key=await service.accounts.key(visitor.actor, key_id))

    @routes.post("/keys/{key_id}/revoke")
    async def revoke(visitor: VisitorNeeded, typed: TypedByVisitor, key_id: str) -> Response:
        await service.accounts.delete_key(visitor.actor, key_id)
        return RedirectResponse("/keys", 303)

    @routes.get("/account")
    async def account(request: Request, visitor: VisitorNeeded) -> Response:
        return page(request, visitor, "account.html", changed=False, error=None)

    @routes.post("/account")
    async def change_password(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor) -> Response:
        async def check() -> object:
            # As slow against guessing as the sign-in: a stolen session must not become a password.
            return await service.accounts.check_password(visitor.actor.email, typed["present"], client_address(request))

        try:
            same_twice(typed["password"], typed["repeated"])
            await service.accounts.changes.change_own_password(visitor.actor, visitor.token, typed["password"], check)
        except CredentialsRejected:
            wrong = InvalidInput("This is not your present password.", reason="sign-in-failed", field_name="present")
            return page(request, visitor, "account.html", status_code=422, changed=False, error=wrong)
        except (InvalidInput, Busy) as error:
            status = 429 if isinstance(error, Busy) else 422
            return page(request, visitor, "account.html", status_code=status, changed=False, error=error)
        return page(request, visitor, "account.html", changed=True, error=None)

    @routes.get("/new-password")
    async def new_password_form(request: Request, token: Token = "") -> Response:
        user = await service.accounts.changes.user_of_link(token)
        return page(request, None, "new_password.html", user=user, token=token, error=None)

    @routes.post("/new-password")
    async def new_password(request: Request, typed: TypedByStranger) -> Response:
        token = typed["token"]
        user = await service.accounts.changes.user_of_link(token)
        try:
            same_twice(typed["password"], typed["repeated"])
            await service.accounts.changes.set_password_by_link(token, typed["password"])
        except InvalidInput as error:
            return page(request, None, "new_password.html", status_code=422, user=user, token=token, error=error)
        return RedirectResponse("/sign-in", 303)

    async def _keys_page(
        request: Request,
        visitor: Visitor,
        *,
        after: str | None = None,
        name: str = "",
        error: PcgError | None = None,
    ) -> Response:
        found = await service.accounts.keys(visitor.actor, after=after, limit=DEFAULT_LIMIT)
        return page(
            request, visitor, "keys.html",
            status_code=422 if error else 200, keys=found.items, next=found.next, after=after, name=name, error=error,
        )  # fmt: skip

    return routes


def _checked(name: str) -> str:
    """The same rule as the API's. Raises InvalidInput."""
    try:
        return NewKey.model_validate({"name": name}).name
    except ValidationError:
        raise InvalidInput("A name has 1 to 128 characters.", reason="request-invalid", field_name="name") from None
