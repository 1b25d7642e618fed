"""Who calls: every kind of credential that somebody could hold, and what its requests look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from pcg.console.auth import CSRF_FIELD, CSRF_HEADER, SESSION_COOKIE, csrf_token
from pcg.console.web.static import static_url
from pcg.wire.release import JET_MANIFEST

from .authorisation_table import Row
from .raw import Headers, Raw, ask
from .world import BASE, World

PEOPLE = ("viewer", "operator", "admin")
KEYS = ("none", *PEOPLE, "deleted", "jet", "poll")
"""by a key or token in `Authorization`"""
COOKIES = ("none", *PEOPLE, "deleted")
"""by a browser's session"""


async def by_key(world: World, row: Row, actor: str, token: str = "") -> Raw:
    """`token` for an actor who has no key of a user."""
    bearer = token or world.keys.get(actor, "")
    headers = [(b"origin", BASE.encode())] if row.is_page else []
    headers += [(b"authorization", f"Bearer {bearer}".encode())] if bearer else []
    return await call(world, row, headers)


async def by_cookie(world: World, row: Row, session: str, *, csrf: str | None = None, origin: str = BASE) -> Raw:
    """`session` is the cookie, empty without one; `csrf` the right one unless given, none at all when empty."""
    headers = [(b"origin", origin.encode())] if origin else []
    if session:
        headers.append((b"cookie", f"{SESSION_COOKIE}={session}".encode()))
    given = csrf if csrf is not None else csrf_token(session) if session else ""
    if given and not row.is_page:
        headers.append((CSRF_HEADER.encode(), given.encode()))
    return await call(world, row, headers, {CSRF_FIELD: given} if given else {})


async def call(world: World, row: Row, headers: Headers, more: Mapping[str, str] | None = None) -> Raw:
    """The row's request with what it needs to succeed."""
    headers = list(headers)
    if row.is_page:
        headers.append((b"accept", b"text/html,application/xhtml+xml"))
    body, number = b"", world.number()
    if row.form is not None:
        headers.append((b"content-type", b"application/x-www-form-urlencoded"))
        fields = {name: value.replace("{n}", number) for name, value in row.form.items()}
        body = urlencode({**fields, **(more or {})}).encode()
    elif row.json is not None:
        headers.append((b"content-type", b"application/json"))
        body = json.dumps(row.json).replace("{n}", number).encode()
    return await ask(world.console.app, row.method, target_of(world, row), headers, body)


def target_of(world: World, row: Row) -> str:
    digest, script = static_url("live.js").split("/")[-2:]
    there = {
        "gateway_id": world.ids[row.target], "user_id": world.victim_user, "key_id": world.victim_key,
        "bundle_id": world.victim_bundle,
        "digest": digest, "name": script if row.path.startswith("/static") else JET_MANIFEST,
    }  # fmt: skip
    path = row.path
    for name, value in there.items():
        path = path.replace(f"{{{name}}}", value)
    return f"{path}?wait=0" if row.name == "GET /gateway/v1/poll/frames" else path
