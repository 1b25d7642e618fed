"""`/api/v1/users`, `/keys` and `/audit`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from pcg.console.api.dependencies import ActorByPasswordOrKey, ActorNeeded, After, Limit, ServiceNeeded
from pcg.console.api.problems import problem_responses
from pcg.console.paging import DEFAULT_LIMIT, Page, position
from pcg.console.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH
from pcg.console.views import AuditView, KeyView, NewKeyView, UserView
from pcg.model.states import Role


class NewUser(BaseModel):
    # The service checks e-mail and password, for the pages too; what it asks of them is only described here.
    email: Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"})]
    role: Role = Role.VIEWER
    password: Annotated[
        str, Field(max_length=MAXIMUM_LENGTH, repr=False, json_schema_extra={"minLength": MINIMUM_LENGTH})
    ]


class NewKey(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]
    """what it is for"""


def router() -> APIRouter:
    routes = APIRouter(tags=["people"], responses=problem_responses(401, 403, 422))

    @routes.get("/users")
    async def list_users(
        actor: ActorNeeded, service: ServiceNeeded, after: After = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[UserView]:
        """By e-mail; administrators only."""
        return await service.accounts.users(actor, after=after, limit=limit)

    @routes.post("/users", status_code=201, responses=problem_responses(400, 409))
    async def create_user(actor: ActorNeeded, service: ServiceNeeded, body: NewUser) -> UserView:
        return await service.accounts.create_user(actor, body.email, body.role, body.password)

    @routes.delete("/users/{user_id}", status_code=204, responses=problem_responses(404, 409))
    async def delete_user(actor: ActorNeeded, service: ServiceNeeded, user_id: str) -> None:
        """Sessions and keys of that user end at once."""
        await service.accounts.delete_user(actor, user_id)

    @routes.get("/keys")
    async def list_keys(
        actor: ActorNeeded, service: ServiceNeeded, after: After = None, limit: Limit = DEFAULT_LIMIT
    ) -> Page[KeyView]:
        """One's own; an administrator sees everyone's."""
        return await service.accounts.keys(actor, after=after, limit=limit)

    @routes.post("/keys", status_code=201, responses=problem_responses(400, 503))
    async def create_key(actor: ActorByPasswordOrKey, service: ServiceNeeded, body: NewKey) -> NewKeyView:
        """The key is shown once. Here alone e-mail and password are taken too (HTTP Basic)."""
        return await service.accounts.create_key(actor, body.name)

    @routes.delete("/keys/{key_id}", status_code=204, responses=problem_responses(404))
    async def revoke_key(actor: ActorNeeded, service: ServiceNeeded, key_id: str) -> None:
        await service.accounts.delete_key(actor, key_id)

    @routes.get("/audit")
    async def list_audit(
        actor: ActorNeeded,
        service: ServiceNeeded,
        after: After = None,
        limit: Limit = DEFAULT_LIMIT,
        gateway: Annotated[str | None, Query(max_length=36, pattern=r"^[0-9a-f-]*$")] = None,
    ) -> Page[AuditView]:
        """Newest first; administrators only."""
        return await service.audit.entries(actor, after=position(after), limit=limit, gateway_id=gateway)

    return routes
