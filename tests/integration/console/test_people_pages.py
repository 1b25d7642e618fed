"""The pages for users, API keys, the audit and one's own account."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape

import pytest
import pytest_asyncio

from pcg.clock import SystemClock
from pcg.console.auth import CSRF_FIELD
from pcg.console.paging import DEFAULT_LIMIT
from pcg.console.passwords import Passwords
from pcg.console.user_changes import UserChanges
from pcg.errors import CredentialsRejected, Refused
from pcg.model.states import Role

from .browsing import Browser, Form, anonymous, signed_in, with_role
from .conftest import EMAIL, PASSWORD, Console

pytestmark = pytest.mark.shared

NEW = "another long password"
THEIRS = "some-viewer@example.com"
NEW_FIELDS = {"password": NEW, "repeated": NEW}


@pytest_asyncio.fixture(loop_scope="module")
async def browser(console: Console) -> AsyncIterator[Browser]:
    opened = await signed_in(console)
    yield opened
    await opened.client.aclose()


async def _id(console: Console, email: str) -> str:
    users = (await console.service.accounts.users(console.admin, after=None, limit=100)).items
    return next(user.id for user in users if user.email == email)


async def _newest(console: Console) -> tuple[str, str, dict[str, object]]:
    entry = (await console.service.audit.entries(console.admin, limit=1)).items[0]
    return entry.actor, entry.action, entry.details


# Users


async def test_an_administrator_adds_changes_and_removes_a_user(console: Console, browser: Browser):
    fields = await browser.form("/users/new")
    assert fields["role"] == "viewer"
    answer = await browser.post("/users", {**fields, "email": " New@Example.com", **NEW_FIELDS})
    assert (answer.status_code, answer.headers["location"]) == (303, "/users")
    listed = (await browser.get("/users")).text
    assert "new@example.com" in listed and "Viewer" in listed and EMAIL in listed

    user_id = await _id(console, "new@example.com")
    theirs = anonymous(console)
    await theirs.post("/sign-in", {"email": "new@example.com", "password": NEW, "next": "/"})
    assert (await theirs.get("/gateways/new")).status_code == 403
    fields = await browser.form(f"/users/{user_id}")
    answer = await browser.post(f"/users/{user_id}/role", {**fields, "role": "operator"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/users/{user_id}")
    assert (await theirs.get("/gateways/new")).status_code == 200
    assert await _newest(console) == (
        EMAIL, "role-changed", {"email": "new@example.com", "old": "viewer", "new": "operator"},
    )  # fmt: skip

    assert "Remove new@example.com?" in (await browser.get(f"/users/{user_id}/delete")).text
    answer = await browser.post(f"/users/{user_id}/delete", await browser.form(f"/users/{user_id}/delete"))
    assert answer.status_code == 303
    assert (await theirs.get("/")).status_code == 303
    assert "new@example.com" not in (await browser.get("/users")).text
    assert (await browser.get(f"/users/{user_id}")).status_code == 404


@pytest.mark.parametrize(
    ("typed", "status_code", "message"),
    [
        ({"email": "nobody"}, 422, "This is not an e-mail address."),
        ({"email": EMAIL}, 409, f"There is a user {EMAIL} already."),
        ({"role": "king"}, 422, "Choose one of the roles."),
        ({"password": "short", "repeated": "short"}, 422, "A password has at least 12 characters."),
        ({"repeated": "other"}, 422, "The two passwords differ."),
    ],
)
async def test_what_is_typed_wrongly_comes_back_with_the_reason(
    console: Console, browser: Browser, typed: dict[str, str], status_code: int, message: str
):
    fields = {**await browser.form("/users/new"), "email": "new@example.com", **NEW_FIELDS, **typed}
    answer = await browser.post("/users", fields)
    assert answer.status_code == status_code
    assert message in unescape(answer.text)
    back = Form(answer.text).fields
    assert (back["email"], back["password"], back["repeated"]) == (fields["email"], "", "")
    assert NEW not in answer.text


async def test_the_last_administrator_stays(console: Console, browser: Browser):
    own = f"/users/{console.admin.id}"
    fields = await browser.form(own)
    answer = await browser.post(f"{own}/role", {**fields, "role": "viewer"})
    assert answer.status_code == 409
    assert "The last administrator cannot be removed." in answer.text
    assert (await browser.post(f"{own}/delete", fields)).status_code == 409
    assert "This is you." in (await browser.get(f"{own}/delete")).text
    await console.as_role(Role.ADMIN)
    answer = await browser.post(f"{own}/role", {**fields, "role": "viewer"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await browser.get("/users")).status_code == 403


async def test_a_new_password_signs_the_user_out_and_keeps_the_keys(console: Console, browser: Browser):
    theirs = await with_role(console, Role.VIEWER)
    user_id = await _id(console, THEIRS)
    fields = await browser.form(f"/users/{user_id}")
    wrong = await browser.post(f"/users/{user_id}/password", {**fields, **NEW_FIELDS, "repeated": "x"})
    assert wrong.status_code == 422 and "The two passwords differ." in wrong.text
    answer = await browser.post(f"/users/{user_id}/password", {**fields, **NEW_FIELDS})
    assert answer.status_code == 303
    assert (await theirs.get("/")).status_code == 303
    await console.service.accounts.check_password(THEIRS, NEW)
    assert await _newest(console) == (EMAIL, "password-set", {"email": THEIRS, "sessions_ended": 1})
    keys = (await console.service.accounts.keys(console.admin, after=None, limit=10)).items
    assert THEIRS in [key.owner for key in keys]


async def test_a_link_lets_the_user_choose_a_password_once(console: Console, browser: Browser):
    theirs, user_id = await with_role(console, Role.VIEWER), await _id(console, THEIRS)
    made = await browser.post(f"/users/{user_id}/password-link", await browser.form(f"/users/{user_id}"))
    assert made.status_code == 201
    (link,) = re.findall(r"https://console\.test(/new-password\?token=[\w-]+)<", made.text)
    stranger = anonymous(console)
    form = await stranger.get(link)
    assert THEIRS in form.text
    assert (await stranger.post("/new-password", {**Form(form.text).fields, "password": "short"})).status_code == 422
    fields = {**Form(form.text).fields, **NEW_FIELDS}
    assert (await stranger.post("/new-password", fields, Origin="https://evil.test")).status_code == 403
    answer = await stranger.post("/new-password", fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    await console.service.accounts.check_password(THEIRS, NEW)
    assert (await theirs.get("/")).status_code == 303
    for again in (await stranger.post("/new-password", fields), await stranger.get(link)):
        assert again.status_code == 403 and "This link is not good any more." in again.text
    # It is a password's link, never an administrator's.
    assert (await stranger.get(link.replace("new-password", "setup"))).status_code == 403


async def test_a_link_ends_by_time_by_a_newer_one_and_with_its_user(console: Console, browser: Browser):
    await console.as_role(Role.VIEWER)
    user_id, changes = await _id(console, THEIRS), console.service.accounts.changes
    _, older, lifetime = await changes.make_password_link(console.admin, user_id)
    _, newer, _ = await changes.make_password_link(console.admin, user_id)

    class Later(SystemClock):
        def now(self):  # type: ignore[no-untyped-def]
            return super().now() + lifetime

    assert lifetime == timedelta(hours=1)
    later = UserChanges(console.service.database, Later(), Passwords(SystemClock()))
    for refuser, token in ((changes, older), (changes, "x"), (changes, ""), (later, newer)):
        with pytest.raises(Refused):
            await refuser.user_of_link(token)
    assert (await changes.user_of_link(newer)).email == THEIRS
    await console.service.accounts.delete_user(console.admin, user_id)
    with pytest.raises(Refused):
        await changes.set_password_by_link(newer, NEW)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_administrators_manage_users_and_read_the_audit(console: Console, role: Role):
    browser = await with_role(console, role)
    fields = {**await browser.form("/keys"), "role": "admin", "email": "x@example.com", **NEW_FIELDS}
    own = await _id(console, f"some-{role.value}@example.com")
    start = (await browser.get("/")).text
    assert 'href="/users"' not in start and 'href="/audit"' not in start and 'href="/keys"' in start
    for path in ("/users", "/users/new", f"/users/{own}", f"/users/{own}/delete", "/audit"):
        assert (await browser.get(path)).status_code == 403
    for path in ("/users", *(f"/users/{own}/{what}" for what in ("role", "password", "password-link", "delete"))):
        assert (await browser.post(path, fields)).status_code == 403
    await console.service.accounts.check_password(f"some-{role.value}@example.com", PASSWORD)


async def test_every_form_needs_the_sessions_token(console: Console, browser: Browser):
    user_id = console.admin.id
    paths = ["/users", "/keys", "/keys/x/revoke", "/account"]
    paths += [f"/users/{user_id}/{what}" for what in ("role", "password", "password-link", "delete")]
    fields = {"email": "x@example.com", "role": "viewer", "name": "x", "present": PASSWORD, **NEW_FIELDS}
    right = (await browser.form("/keys"))[CSRF_FIELD]
    for path in paths:
        assert (await browser.post(path, fields)).status_code == 403
        answer = await browser.post(path, {**fields, CSRF_FIELD: right}, Origin="https://evil.test")
        assert answer.status_code == 403
        assert (await anonymous(console).post(path, fields)).status_code == 303
    await console.service.accounts.check_password(EMAIL, PASSWORD)


# API keys


async def test_a_key_is_shown_once_listed_and_revoked(console: Console, browser: Browser):
    answer = await browser.post("/keys", {**await browser.form("/keys"), "name": "  nightly <b>"})
    assert answer.status_code == 201
    (key,) = re.findall(r'id="api-key"[^>]*>(pcg_[\w-]+)<', answer.text)
    assert "nightly &lt;b&gt;" in answer.text
    script = console.anonymous(Authorization=f"Bearer {key}")
    assert (await script.get("/api/v1/gateways")).status_code == 200
    listed = (await browser.get("/keys")).text
    assert "nightly &lt;b&gt;" in listed and key not in listed
    key_id = next(
        view.id for view in (await console.service.accounts.keys(console.admin, after=None, limit=9)).items
        if view.name == "nightly <b>"
    )  # fmt: skip
    fields = await browser.form(f"/keys/{key_id}/revoke")
    assert (await browser.post(f"/keys/{key_id}/revoke", fields)).status_code == 303
    assert (await script.get("/api/v1/gateways")).status_code == 401
    assert (await browser.get(f"/keys/{key_id}/revoke")).status_code == 404


@pytest.mark.parametrize("name", ["", "   ", "x" * 129, "a\tb"])
async def test_a_key_needs_a_name(console: Console, browser: Browser, name: str):
    answer = await browser.post("/keys", {**await browser.form("/keys"), "name": name})
    assert answer.status_code == 422
    assert "A name has 1 to 128 characters." in answer.text


async def test_others_keys_are_an_administrators_alone(console: Console, browser: Browser):
    viewer = await with_role(console, Role.VIEWER)
    (admins,) = [
        view.id for view in (await console.service.accounts.keys(console.admin, after=None, limit=9)).items
        if view.owner == EMAIL
    ]  # fmt: skip
    assert EMAIL not in (await viewer.get("/keys")).text
    assert THEIRS in (await browser.get("/keys")).text
    assert (await viewer.get(f"/keys/{admins}/revoke")).status_code == 404
    assert (await viewer.post(f"/keys/{admins}/revoke", await viewer.form("/keys"))).status_code == 404


# The audit


async def test_the_audit_pages_back_to_the_beginning(console: Console, browser: Browser):
    for number in range(DEFAULT_LIMIT + 5):
        await console.service.accounts.create_key(console.admin, f"key <i>{number}</i>")
    gateway_id = await console.create("Frankfurt")
    first = await browser.get("/audit")
    assert "Gateway Created" in first.text and "Frankfurt" in first.text
    assert "<i>" not in first.text
    (following,) = re.findall(r'href="(/audit\?after=\d+)"', first.text)
    second = await browser.get(following)
    assert "First Administrator" in second.text and "First Administrator" not in first.text
    assert "Next page" not in second.text and "First page" in second.text
    one = (await browser.get(f"/audit?gateway={gateway_id}")).text
    assert "Gateway Created" in one and "Key Created" not in one
    assert (await browser.get("/audit?after=x")).status_code == 422
    assert (await browser.get("/audit?gateway=<script>")).status_code == 422


# One's own password


async def test_one_changes_ones_own_password(console: Console):
    here, elsewhere = await with_role(console, Role.VIEWER), await signed_in(console, THEIRS)
    fields = {**await here.form("/account"), **NEW_FIELDS}
    wrong = await here.post("/account", {**fields, "present": "not my password"})
    assert wrong.status_code == 422 and "This is not your present password." in wrong.text
    differ = await here.post("/account", {**fields, "present": PASSWORD, "repeated": "x"})
    assert differ.status_code == 422 and "The two passwords differ." in differ.text
    answer = await here.post("/account", {**fields, "present": PASSWORD})
    assert answer.status_code == 200 and "Your password is changed." in answer.text
    assert (await here.get("/")).status_code == 200
    assert (await elsewhere.get("/")).status_code == 303
    with pytest.raises(CredentialsRejected):
        await console.service.accounts.check_password(THEIRS, PASSWORD)
    assert await _newest(console) == (THEIRS, "password-changed", {"email": THEIRS, "sessions_ended": 1})


async def test_guessing_the_present_password_is_slowed_down(console: Console, browser: Browser):
    fields = {**await browser.form("/account"), **NEW_FIELDS, "present": "not my password"}
    codes = [(await browser.post("/account", fields)).status_code for _ in range(11)]
    assert codes == [422] * 10 + [429]


async def test_no_page_has_anything_inline_or_from_elsewhere(console: Console, browser: Browser):
    for path in ("/users", "/users/new", f"/users/{console.admin.id}", f"/users/{console.admin.id}/delete", "/keys",
                 "/audit", "/account"):  # fmt: skip
        form = Form((await browser.get(path)).text)
        assert form.inline == []
        assert all(address.startswith("/") or address == "#main" for _, address in form.addresses)
