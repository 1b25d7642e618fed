"""Users, for administrators: list, add, role, password, removal; and the audit. Joined by `pages.py`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.api.dependencies import After, public_urls_of
from pcg.console.auth import Action, require
from pcg.console.paging import DEFAULT_LIMIT, position
from pcg.console.service import Service
from pcg.console.user_changes import same_twice
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByVisitor, Visitor, VisitorNeeded
from pcg.errors import Conflict, InvalidInput, PcgError
from pcg.model.states import Role

ROLES = {
    Role.VIEWER: "sees everything of gateways and changes nothing",
    Role.OPERATOR: "also adds, configures and resets gateways",
    Role.ADMIN: "also deletes gateways, reads kubeconfigs and the audit, and manages users",
}


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/users")
    async def list_users(request: Request, visitor: VisitorNeeded, after: After = None) -> Response:
        found = await service.accounts.users(visitor.actor, after=after, limit=DEFAULT_LIMIT)
        return page(request, visitor, "users.html", users=found.items, next=found.next, after=after)

    @routes.get("/users/new")
    async def new_user(request: Request, visitor: VisitorNeeded) -> Response:
        require(visitor.actor, Action.MANAGE_USERS)
        return page(request, visitor, "new_user.html", email="", role=Role.VIEWER.value, roles=ROLES, error=None)

    @routes.post("/users")
    async def create_user(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor) -> Response:
        require(visitor.actor, Action.MANAGE_USERS)
        email, role = typed["email"].strip(), typed["role"]
        try:
            same_twice(typed["password"], typed["repeated"])
            await service.accounts.create_user(visitor.actor, email, _role(role), typed["password"])
        except (InvalidInput, Conflict) as error:
            return page(
                request, visitor, "new_user.html",
                status_code=_status(error), email=email, role=role, roles=ROLES, error=error, field=_field_of(error),
            )  # fmt: skip
        return RedirectResponse("/users", 303)

    @routes.get("/users/{user_id}")
    async def one_user(request: Request, visitor: VisitorNeeded, user_id: str) -> Response:
        return await _user_page(request, visitor, user_id, None)

    @routes.post("/users/{user_id}/role")
    async def change_role(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, user_id: str) -> Response:
        try:
            await service.accounts.changes.set_role(visitor.actor, user_id, _role(typed["role"]))
        except (InvalidInput, Conflict) as error:
            return await _user_page(request, visitor, user_id, error)
        # Who gave the role of an administrator away may not see this page any more.
        own = user_id == visitor.actor.id
        return RedirectResponse("/" if own else f"/users/{user_id}", 303)

    @routes.post("/users/{user_id}/password")
    async def set_password(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, user_id: str) -> Response:
        require(visitor.actor, Action.MANAGE_USERS)
        try:
            same_twice(typed["password"], typed["repeated"])
            await service.accounts.changes.set_password(visitor.actor, user_id, typed["password"])
        except InvalidInput as error:
            return await _user_page(request, visitor, user_id, error)
        return RedirectResponse("/users", 303)

    @routes.post("/users/{user_id}/password-link")
    async def password_link(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, user_id: str) -> Response:
        user, token, lifetime = await service.accounts.changes.make_password_link(visitor.actor, user_id)
        link = f"{public_urls_of(request)[0]}/new-password?token={token}"
        minutes = int(lifetime.total_seconds()) // 60
        return page(request, visitor, "password_link.html", status_code=201, user=user, link=link, minutes=minutes)

    @routes.get("/users/{user_id}/delete")
    async def ask_delete(request: Request, visitor: VisitorNeeded, user_id: str) -> Response:
        user = await service.accounts.changes.user(visitor.actor, user_id)
        return page(request, visitor, "delete_user.html", user=user)

    @routes.post("/users/{user_id}/delete")
    async def delete_user(visitor: VisitorNeeded, typed: TypedByVisitor, user_id: str) -> Response:
        await service.accounts.delete_user(visitor.actor, user_id)
        return RedirectResponse("/users", 303)

    @routes.get("/audit")
    async def audit(
        request: Request,
        visitor: VisitorNeeded,
        after: After = None,
        gateway: Annotated[str | None, Query(max_length=36, pattern=r"^[0-9a-f-]*$")] = None,
    ) -> Response:
        found = await service.audit.entries(
            visitor.actor, after=position(after), limit=DEFAULT_LIMIT, gateway_id=gateway or None
        )
        return page(
            request, visitor, "audit.html", entries=found.items, next=found.next, after=after, gateway=gateway or ""
        )

    async def _user_page(request: Request, visitor: Visitor, user_id: str, error: PcgError | None) -> Response:
        user = await service.accounts.changes.user(visitor.actor, user_id)
        return page(
            request, visitor, "user.html",
            status_code=_status(error) if error else 200,
            user=user, roles=ROLES, error=error, field=_field_of(error) if error else "",
        )  # fmt: skip

    return routes


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise InvalidInput("Choose one of the roles.", reason="request-invalid", field_name="role") from None


def _status(error: PcgError) -> int:
    return 409 if isinstance(error, Conflict) else 422


def _field_of(error: PcgError) -> str:
    return error.field_name if isinstance(error, InvalidInput) else error.fields.get("field", "")
