"""The table of who may call what, held against the console: every route, with every kind of credential.

Refused means 401 where nobody is known, 403 where somebody is, for pages the sign-in; and refused means that nothing
was changed, which the audit tells.
"""

from __future__ import annotations

import json

from fastapi.routing import iter_route_contexts

from pcg.console.auth import csrf_token
from pcg.sealing import signatures
from pcg.wire import frames

from .actors import COOKIES, KEYS, PEOPLE, by_cookie, by_key, call
from .authorisation_table import TABLE, Least, Row
from .raw import Raw, connect
from .world import World

ROWS = [row for row in TABLE if row.method != "WEBSOCKET"]
CHANGING = [row for row in ROWS if row.method not in ("GET", "HEAD") and not row.path.startswith("/gateway/v1/")]
OF_USERS = [row for row in ROWS if Least.VIEWER <= row.least <= Least.ADMIN]


async def test_every_route_has_a_row_and_every_row_a_route(world: World) -> None:
    routes = {
        (method, str(route.path))
        for route in iter_route_contexts(world.console.app.routes)
        for method in (route.methods or {"WEBSOCKET"})
    }
    rows = [(row.method, row.path) for row in TABLE]
    assert len(rows) == len(set(rows))
    assert set(rows) == routes
    described = world.console.app.openapi()["paths"]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} <= set(rows)


async def test_with_every_key_and_token(world: World) -> None:
    wrong: list[str] = []
    for row in ROWS:
        for actor in KEYS:
            token = ""
            if actor == "jet":
                token = await world.jet_token("connected")
            elif actor == "poll":
                token = await world.poll_token()
            before = await world.audited()
            answer = await by_key(world, row, actor, token)
            # Pages know browsers' sessions only: a key opens none of them.
            may = _may(row, actor) and not (row.is_page and row.least is not Least.ANYBODY)
            wrong += _differences(row, actor, answer, may=may, known=actor in PEOPLE and not row.is_page)
            wrong += await _changes(world, row, actor, before, may=may)
            await world.settle(row.method, answer.status)
    assert wrong == []


async def test_with_every_browser_session(world: World) -> None:
    wrong: list[str] = []
    sessions = {"none": "", "deleted": await world.deleted_session()}
    for row in ROWS:
        for actor in COOKIES:
            if actor not in sessions:
                sessions[actor] = (await world.session(actor)).token
            session, before = sessions[actor], await world.audited()
            answer = await by_cookie(world, row, session)
            may = _may(row, actor)
            known = actor in PEOPLE
            if known and row.method != "GET" and answer.status < 400:
                del sessions[actor]  # it may have ended it
            if row.path == "/sign-in" and row.method == "GET" and known:
                wrong += [] if answer.headers.get("location") == "/" else [f"{actor} is signed in: {answer}"]
                continue
            wrong += _differences(row, actor, answer, may=may, known=known)
            wrong += await _changes(world, row, actor, before, may=may)
            await world.settle(row.method, answer.status)
    assert wrong == []


async def test_a_change_from_a_browser_comes_from_our_own_pages(world: World) -> None:
    mine, other = (await world.session("admin")).token, (await world.session("operator")).token
    before = await world.audited()
    let_through: list[str] = []
    for row in CHANGING:
        answers = {
            "another site": await by_cookie(world, row, mine, origin="https://evil.example"),
            "our name within another": await by_cookie(world, row, mine, origin="https://console.test.evil.example"),
            "our name before an @": await by_cookie(world, row, mine, origin="https://console.test@evil.example"),
            "hidden": await by_cookie(world, row, mine, origin="null"),
            "neither Origin nor Sec-Fetch-Site": await by_cookie(world, row, mine, origin=""),
        }
        if row.least in (Least.VIEWER, Least.OPERATOR, Least.ADMIN):
            answers |= {
                "no CSRF token": await by_cookie(world, row, mine, csrf=""),
                "another session's": await by_cookie(world, row, mine, csrf=csrf_token(other)),
                "made up": await by_cookie(world, row, mine, csrf="0" * 64),
                "not even ASCII": await by_cookie(world, row, mine, csrf="ä" * 999),
            }
        let_through += [f"{row.name}: {how}: {answer}" for how, answer in answers.items() if answer.status != 403]
    assert let_through == []
    assert await world.audited() == before


async def test_what_is_no_credential_at_all(world: World) -> None:
    wrong: list[str] = []
    authorizations = (
        b"", b"Bearer", b"Bearer ", b"Bearer " + b"x" * 60_000, b"bearer \xe4\xf6", b"\x00", b"Bearer \x00",
        b"Digest username=admin", b"Bearer pcg_' OR 1=1 --", b"Bearer null", b"Basic \xff", b"Basic",
    )  # fmt: skip
    cookies = (b"__Host-pcg-session=", b"__Host-pcg-session=\xff", b"__Host-pcg-session=" + b"x" * 9000, b"=;=;")
    for row in OF_USERS:
        for value in authorizations:
            answer = await call(world, row, [(b"authorization", value)])
            wrong += _differences(row, repr(value[:40]), answer, may=False, known=False)
        for cookie in cookies:
            answer = await call(world, row, [(b"cookie", cookie), (b"origin", b"https://console.test")])
            wrong += _differences(row, repr(cookie[:40]), answer, may=False, known=False)
    assert wrong == []


async def test_no_credential_replaces_the_proof_of_a_session(world: World) -> None:
    tokens = [world.keys["admin"], await world.jet_token("connected"), await world.poll_token()]
    hello = frames.Hello(versions=(1, 1), gateway_id=world.ids["connected"], nonce=signatures.new_nonce())
    proof = frames.Proof(signature="A" * 86, term=0, writer="w")
    for token in tokens:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        told = await connect(
            world.console.app, "/gateway/v1/session", headers, frames.encode(hello), frames.encode(proof)
        )
        assert [json.loads(text)["type"] for text in told] == ["challenge", "refusal"]
        assert json.loads(told[-1])["reason"] == "bad-proof"


def _may(row: Row, actor: str) -> bool:
    if row.least is Least.ANYBODY:
        return True
    if row.least in (Least.JET, Least.POLL):
        return actor == row.least.name.lower()
    return actor in PEOPLE and row.least is not Least.LINK and PEOPLE.index(actor) + 1 >= row.least


def _differences(row: Row, actor: str, answer: Raw, *, may: bool, known: bool) -> list[str]:
    place = answer.headers.get("location", "")
    if may:
        right = answer.status == row.answer and (row.path == "/sign-out" or not place.startswith("/sign-in"))
    elif known or row.least in (Least.LINK, Least.JET, Least.POLL):
        right = answer.status == row.hidden
    elif row.is_page:
        right = (answer.status, place.partition("?")[0]) == (303, "/sign-in")
    else:
        right = (answer.status, answer.reason in ("not-signed-in", "sign-in-failed")) == (401, True)
    told = f"{row.name} as {actor}: {answer.status} {place} {answer.body[:300]!r}"
    return [] if right else [told]


async def _changes(world: World, row: Row, actor: str, before: int, *, may: bool) -> list[str]:
    """What was refused and yet done: everything that is done stands in the audit."""
    return [] if may or await world.audited() == before else [f"{row.name} as {actor}: refused, and yet done"]
