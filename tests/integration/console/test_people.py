"""Users, keys, sessions: who gets in, and what ends when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pcg.clock import SystemClock
from pcg.console.accounts import Accounts
from pcg.console.app import create_app
from pcg.console.auth import CSRF_HEADER, SESSION_COOKIE, csrf_token
from pcg.console.settings import Settings
from pcg.console.store.database import Database, sqlite_url
from pcg.console.store.models import ApiKey, User, WebSession
from pcg.errors import Busy, Conflict, CredentialsRejected, InvalidInput, Refused
from pcg.model.states import Role

from .conftest import BASE, EMAIL, PASSWORD, Console

pytestmark = pytest.mark.shared

NEW = {"name": "two", "cloud": "simulated"}


async def test_login_trades_a_password_for_a_key(console: Console):
    async with console.anonymous() as client:
        answer = await client.post("/api/v1/keys", json={"name": "laptop"}, auth=(EMAIL.upper(), PASSWORD))
        assert answer.status_code == 201
        client.headers["Authorization"] = f"Bearer {answer.json()['key']}"
        keys = (await client.get("/api/v1/keys")).json()["items"]
    assert {key["name"]: (key["role"], key["owner"]) for key in keys}["laptop"] == ("admin", EMAIL)
    assert all("key" not in key for key in keys)


@pytest.mark.parametrize("auth", [(EMAIL, "wrong password"), ("nobody@example.com", PASSWORD), ("", "")])
async def test_a_wrong_password_gets_nothing(console: Console, auth: tuple[str, str]):
    answer = await console.anonymous().post("/api/v1/keys", json={"name": "x"}, auth=auth)
    assert (answer.status_code, answer.json()["reason"]) == (401, "sign-in-failed")


async def test_a_password_opens_nothing_but_keys(console: Console):
    answer = await console.anonymous().get("/api/v1/gateways", auth=(EMAIL, PASSWORD))
    assert answer.status_code == 401


async def test_guessing_is_slowed_down_for_the_guesser_alone(console: Console):
    for _ in range(10):
        with pytest.raises(CredentialsRejected):
            await console.service.accounts.check_password(EMAIL, "a wrong guess", "127.0.0.66")
    with pytest.raises(Busy) as caught:
        await console.service.accounts.check_password(EMAIL, PASSWORD, "127.0.0.66")
    assert 0 < (caught.value.after or 0) <= 300
    assert (await console.service.accounts.check_password(EMAIL, PASSWORD, "127.0.0.1")).email == EMAIL


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer pcg_wrong", "Basic !!", "Digest x", "Bearer \x7f"])
async def test_nothing_less_than_a_key_will_do(console: Console, header: str):
    answer = await console.anonymous(**({"Authorization": header} if header else {})).get("/api/v1/gateways")
    assert (answer.status_code, answer.json()["reason"]) == (401, "not-signed-in")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_nothing_readable_is_kept(console: Console):
    signed_in = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    key = await console.service.accounts.create_key(console.admin, "k")
    async with console.service.database.read() as session:
        kept = [row.password_hash for row in await session.scalars(select(User))]
        kept += [row.key_hash for row in await session.scalars(select(ApiKey))]
        kept += [row.token_hash for row in await session.scalars(select(WebSession))]
    assert kept[0].startswith("$argon2id$")
    for secret in (PASSWORD, signed_in.token, key.key):
        assert not any(secret in value for value in kept)


async def test_a_session_may_change_only_with_its_token_from_our_own_pages(console: Console):
    signed_in = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    cookie = f"{SESSION_COOKIE}={signed_in.token}"
    right = {CSRF_HEADER: csrf_token(signed_in.token), "Origin": BASE}
    wrong: list[tuple[dict[str, str], str]] = [
        ({}, "foreign-origin"),
        ({CSRF_HEADER: right[CSRF_HEADER]}, "foreign-origin"),
        ({**right, "Origin": "https://evil.test"}, "foreign-origin"),
        ({**right, "Origin": "null"}, "foreign-origin"),
        ({"Origin": BASE}, "csrf-token"),
        ({**right, CSRF_HEADER: csrf_token("another session")}, "csrf-token"),
        ({CSRF_HEADER: "x", "Sec-Fetch-Site": "same-origin"}, "csrf-token"),
    ]
    async with console.anonymous(Cookie=cookie) as client:
        assert (await client.get("/api/v1/gateways")).status_code == 200
        for headers, reason in wrong:
            answer = await client.post("/api/v1/gateways", json=NEW, headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (403, reason), headers
        assert (await client.post("/api/v1/gateways", json=NEW, headers=right)).status_code == 201
        await console.service.accounts.sign_out(signed_in.token)
        assert (await client.get("/api/v1/gateways")).status_code == 401


async def test_a_session_ends_by_itself(console: Console):
    signed_in = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    assert await console.service.accounts.actor_of_session(signed_in.token) is not None
    past = console.service.clock.now() - timedelta(seconds=1)
    async with console.service.database.write() as session:
        await session.execute(update(WebSession).values(expires_at=past))
    assert await console.service.accounts.actor_of_session(signed_in.token) is None


async def test_a_removed_user_is_out_at_once(console: Console):
    client = await console.as_role(Role.OPERATOR)
    signed_in = await console.service.accounts.sign_in("some-operator@example.com", PASSWORD)
    assert (await client.get("/api/v1/gateways")).status_code == 200
    users = (await console.client.get("/api/v1/users")).json()["items"]
    user = next(item for item in users if item["role"] == "operator")
    assert (await console.client.delete(f"/api/v1/users/{user['id']}")).status_code == 204
    assert (await client.get("/api/v1/gateways")).status_code == 401
    assert await console.service.accounts.actor_of_session(signed_in.token) is None
    assert (await console.client.delete(f"/api/v1/users/{user['id']}")).status_code == 404
    await client.aclose()


async def test_the_last_administrator_stays(console: Console):
    answer = await console.client.delete(f"/api/v1/users/{console.admin.id}")
    assert (answer.status_code, answer.json()["reason"]) == (409, "last-administrator")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"email": "x@example.com", "password": "short"}, 422, "password"),
        ({"email": "no address", "password": PASSWORD}, 422, "email"),
        ({"email": "x@example.com", "password": PASSWORD, "role": "king"}, 422, "role"),
        ({"email": "x@example.com"}, 422, "password"),
        ({"email": EMAIL.upper(), "password": PASSWORD}, 409, "email"),
    ],
)
async def test_a_wrong_user_is_refused_with_the_field(console: Console, body: dict[str, str], status: int, field: str):
    answer = await console.client.post("/api/v1/users", json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(("method", "path"), [("GET", "users"), ("POST", "users"), ("GET", "audit")])
async def test_people_are_the_administrators_business(console: Console, method: str, path: str):
    body = {"email": "x@example.com", "password": PASSWORD}
    async with await console.as_role(Role.OPERATOR) as client:
        assert (await client.request(method, f"/api/v1/{path}", json=body)).status_code == 403


async def test_keys_of_others_are_not_ones_own(console: Console):
    async with await console.as_role(Role.VIEWER) as client:
        mine = (await client.get("/api/v1/keys")).json()["items"]
        everyone = (await console.client.get("/api/v1/keys")).json()["items"]
        assert len(mine) == 1 < len(everyone)
        other = next(key for key in everyone if key["owner"] == EMAIL)
        assert (await client.delete(f"/api/v1/keys/{other['id']}")).status_code == 404
        assert (await client.delete(f"/api/v1/keys/{mine[0]['id']}")).status_code == 204
        assert (await client.get("/api/v1/keys")).status_code == 401


async def test_the_first_administrator_comes_by_a_link_that_is_good_once(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "console.db"))
    await database.migrate()
    accounts = Accounts(database, SystemClock())
    older, token = await accounts.prepare(None, None), await accounts.prepare(None, None)
    assert older is not None
    assert token is not None
    assert [await accounts.setup_possible(link) for link in (older, token, "")] == [False, True, False]
    with pytest.raises(Refused):
        await accounts.set_up(older, EMAIL, PASSWORD)
    with pytest.raises(InvalidInput):
        await accounts.set_up(token, EMAIL, "short")
    assert (await accounts.set_up(token, EMAIL, PASSWORD)).role is Role.ADMIN
    with pytest.raises(Refused):
        await accounts.set_up(token, "other@example.com", PASSWORD)
    assert await accounts.prepare("other@example.com", PASSWORD) is None
    with pytest.raises(Conflict):
        await accounts.create_user(await accounts.check_password(EMAIL, PASSWORD), EMAIL, Role.VIEWER, PASSWORD)
    await database.close()


async def test_the_application_tells_the_link_only_while_there_is_nobody(tmp_path: Path):
    app = create_app(Settings(data=tmp_path, public_urls=(BASE,)))
    async with app.router.lifespan_context(app):
        assert app.state.setup_link.startswith(f"{BASE}/setup?token=")
        token = app.state.setup_link.partition("=")[2]
        await app.state.service.accounts.set_up(token, EMAIL, PASSWORD)
    again = create_app(Settings(data=tmp_path, public_urls=(BASE,)))
    async with again.router.lifespan_context(again):
        assert again.state.setup_link is None
