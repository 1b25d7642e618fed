"""Who looks at a page, and the forms they send back; asked for by every route of the pages.

Pages know web sessions only, never API keys. A form is taken when it comes from our own pages (Origin) with the CSRF
token of this very session; `auth.py` has both rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from pcg.console.api.dependencies import ServiceNeeded, not_signed_in, public_urls_of
from pcg.console.auth import CSRF_FIELD, SESSION_COOKIE, Action, Actor, check_csrf, check_origin, csrf_token, may
from pcg.errors import InvalidInput


@dataclass(frozen=True, repr=False)
class Visitor:
    actor: Actor
    token: str

    @property
    def csrf(self) -> str:
        return csrf_token(self.token)

    def may(self, action: str, gateway: object = None) -> bool:
        """For templates: what one may not do is not offered. The service asks again when it is done."""
        return may(self.actor, Action[action], gateway)


class Typed(Mapping[str, str]):
    """A form's fields as they were typed; one that was not sent is empty. No log shows it: it holds passwords."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Typed({sorted(self._values)})"


async def typed_by_stranger(request: Request) -> Typed:
    """A form before sign-in: there is no session to bind a token to, but it must come from our own pages."""
    check_origin(request.headers, public_urls_of(request))
    return await _typed(request)


async def visitor_of(request: Request, service: ServiceNeeded) -> Visitor:
    """Raises Refused (`not-signed-in`); for a page that leads to the sign-in."""
    token = request.cookies.get(SESSION_COOKIE, "")
    actor = await service.accounts.actor_of_session(token) if token else None
    if actor is None:
        raise not_signed_in()
    return Visitor(actor, token)


async def _typed_by_visitor(request: Request, visitor: VisitorNeeded) -> Typed:
    check_origin(request.headers, public_urls_of(request))
    typed = await _typed(request)
    check_csrf(visitor.token, typed[CSRF_FIELD])
    return typed


async def _typed(request: Request) -> Typed:
    form = await request.form(max_files=0)
    values = {name: value.replace("\r\n", "\n") for name, value in form.items() if isinstance(value, str)}
    for name, value in values.items():
        # PostgreSQL cannot store it, and nobody types it.
        if "\0" in value:
            raise InvalidInput("A field holds a character that cannot be stored.", reason="nul", field_name=name)
    return Typed(values)


VisitorNeeded = Annotated[Visitor, Depends(visitor_of)]
TypedByVisitor = Annotated[Typed, Depends(_typed_by_visitor)]
TypedByStranger = Annotated[Typed, Depends(typed_by_stranger)]
