"""The pages as a browser gets them, without a browser: sign-in, gateways, roles and errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
import pytest_asyncio

from pcg.console.app import create_app
from pcg.console.auth import CSRF_FIELD, SESSION_COOKIE
from pcg.console.settings import Settings
from pcg.model.records import MachineReport
from pcg.model.states import MachineRole, MachineState, Role

from .browsing import Browser, Form, anonymous, signed_in, told, with_role
from .conftest import BASE, EMAIL, PASSWORD, Console, status

pytestmark = pytest.mark.shared


@pytest_asyncio.fixture(loop_scope="module")
async def browser(console: Console) -> AsyncIterator[Browser]:
    opened = await signed_in(console)
    yield opened
    await opened.client.aclose()


# Signing in


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(console: Console):
    gateway_id = await console.create()
    browser = anonymous(console)
    answer = await browser.get(f"/gateways/{gateway_id}/events")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next=/gateways/{gateway_id}/events")
    fields = await browser.form(answer.headers["location"])
    answer = await browser.post("/sign-in", {**fields, "email": f" {EMAIL.upper()}", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/gateways/{gateway_id}/events")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert (await browser.get(f"/gateways/{gateway_id}/events")).status_code == 200
    assert (await browser.get("/sign-in")).status_code == 303


async def test_a_wrong_password_says_so_and_tells_nothing_more(console: Console):
    browser = anonymous(console)
    for email in (EMAIL, "nobody@example.com"):
        answer = await browser.post("/sign-in", {"email": email, "password": "wrong wrong wrong"})
        assert answer.status_code == 401
        assert "E-mail or password is wrong." in answer.text
        assert email in answer.text and "wrong wrong wrong" not in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test", "/\\evil.test", "evil", "/\tx", "/\n/x"])
async def test_a_sign_in_leads_only_to_our_own_pages(console: Console, elsewhere: str):
    answer = await anonymous(console).post("/sign-in", {"email": EMAIL, "password": PASSWORD, "next": elsewhere})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_forms_are_taken_only_from_our_own_pages_with_the_sessions_token(console: Console, browser: Browser):
    fields = {**await browser.form("/gateways/new"), "name": "n", "cloud": "simulated"}
    other = (await (await signed_in(console)).form("/gateways/new"))[CSRF_FIELD]
    for token in ({}, {CSRF_FIELD: ""}, {CSRF_FIELD: "ä"}, {CSRF_FIELD: other}):
        without = {name: value for name, value in fields.items() if name != CSRF_FIELD}
        answer = await browser.post("/gateways", {**without, **token})
        assert answer.status_code == 403
        assert "This form was made for another session." in answer.text
    assert (await browser.post("/gateways", fields, Origin="https://evil.test")).status_code == 403
    assert (await browser.client.post("/gateways", data=fields)).status_code == 403
    assert (await browser.post("/sign-out", {})).status_code == 403
    foreign = await anonymous(console).post("/sign-in", {"email": EMAIL, "password": PASSWORD}, Origin="https://x.test")
    assert foreign.status_code == 403
    assert (await browser.post("/gateways", fields)).status_code == 201


async def test_signing_out_ends_the_session(console: Console, browser: Browser):
    cookie = browser.client.cookies[SESSION_COOKIE]
    fields = await browser.form("/")
    answer = await browser.post("/sign-out", fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert SESSION_COOKIE not in browser.client.cookies
    assert await console.service.accounts.actor_of_session(cookie) is None


async def test_an_api_key_is_not_a_session(console: Console):
    answer = await console.client.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


# Gateways


async def test_a_new_gateway_shows_its_code_once_with_all_that_an_installer_needs(console: Console, browser: Browser):
    assert "There is no gateway yet." in (await browser.get("/")).text
    fields = {**await browser.form("/gateways/new"), "name": "Frankfurt 2", "cloud": "simulated"}
    answer = await browser.post("/gateways", fields)
    text = unescape(answer.text)
    assert answer.status_code == 201
    (code,) = re.findall(r'id="pairing-code">([^<]+)<', text)
    assert f"PCG_PAIRING_CODE={code} pcg install --endpoint {BASE} --ca-pin {console.service.certificates.pin}" in text
    for name in ("pcg.endpoint", "pcg.pairing-code", "pcg.ca-pin"):
        assert name in text
    gateway = (await console.client.get("/api/v1/gateways")).json()["items"][0]
    listed, details = (await browser.get("/")).text, (await browser.get(f"/gateways/{gateway['id']}")).text
    assert "Awaiting Registration" in listed and "Awaiting Registration" in details
    assert code not in listed + details
    again = await browser.post(f"/gateways/{gateway['id']}/pairing-code", await browser.form("/"))
    assert again.status_code == 201 and code not in again.text


@pytest.mark.parametrize(
    ("name", "cloud", "status_code", "message"),
    [
        ("", "simulated", 422, "A name has 1 to 63"),
        ("-x", "simulated", 422, "A name has 1 to 63"),
        ("taken", "simulated", 409, "There is a gateway 'taken' already."),
        ("x", "azure", 422, "Choose one of the clouds."),
        ("x\0", "simulated", 422, "cannot be stored"),
    ],
)
async def test_a_wrong_new_gateway_comes_back_with_its_error(
    console: Console, browser: Browser, name: str, cloud: str, status_code: int, message: str
):
    await console.create("taken")
    answer = await browser.post("/gateways", {**await browser.form("/gateways/new"), "name": name, "cloud": cloud})
    assert answer.status_code == status_code
    assert message in unescape(answer.text)
    if "\0" not in name:
        assert Form(answer.text).fields["name"] == name


async def test_states_conditions_and_addresses_stand_on_the_widget(console: Console, browser: Browser):
    configured, _ = await console.configured("b")
    await console.registered("a")
    machine = MachineReport(
        name="m1",
        role=MachineRole.CONTROL_PLANE,
        state=MachineState.READY,
        address="10.0.0.9",
        instance="i",
        incarnation=1,
    )
    gateway = await console.get(configured)
    await told(console, configured, status(gateway["generation"], done=True, machines=[machine]))
    text = (await browser.get("/")).text
    assert text.index(">a</a>") < text.index("Pending") < text.index(">b</a>") < text.index("Running")
    assert "10.0.0.9" in text and "Disconnected" in text and "Credentials Needed" in text
    assert f'class="stretched" id="open-{configured}" href="/gateways/{configured}"' in text


async def test_reset_and_delete_ask_first_and_say_what_will_remain(console: Console, browser: Browser):
    gateway_id, _ = await console.configured("one")
    machine = MachineReport(
        name="m1", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, instance="i", incarnation=1
    )
    await told(console, gateway_id, status((await console.get(gateway_id))["generation"], machines=[machine]))
    asked = await browser.get(f"/gateways/{gateway_id}/reset")
    assert "m1" in asked.text and (await console.get(gateway_id))["state"] == "provisioning"
    answer = await browser.post(f"/gateways/{gateway_id}/reset", Form(asked.text).fields)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/gateways/{gateway_id}")
    assert (await console.get(gateway_id))["state"] == "pending"

    asked = await browser.get(f"/gateways/{gateway_id}/delete")
    assert "m1" in asked.text and "The gateway is away" in asked.text
    answer = await browser.post(f"/gateways/{gateway_id}/delete", Form(asked.text).fields)
    assert answer.status_code == 303 and (await console.get(gateway_id))["state"] == "deleting"
    assert "Force deletion" in (await browser.get(f"/gateways/{gateway_id}")).text
    answer = await browser.post(f"/gateways/{gateway_id}/delete", {**Form(asked.text).fields, "force": "yes"})
    assert answer.status_code == 200 and "remain in the cloud" in answer.text and "m1" in answer.text
    gone = await browser.get(f"/gateways/{gateway_id}")
    assert gone.status_code == 404 and "There is no such gateway." in gone.text


# Roles


async def test_a_viewer_sees_all_and_is_offered_and_allowed_no_change(console: Console):
    browser = await with_role(console, Role.VIEWER)
    gateway_id, _ = await console.configured()
    csrf = {CSRF_FIELD: (await browser.form("/"))[CSRF_FIELD]}
    for path in (
        "/",
        f"/gateways/{gateway_id}",
        f"/gateways/{gateway_id}/events",
        f"/gateways/{gateway_id}/configuration",
    ):
        form = Form((await browser.get(path)).text)
        offered = {address for tag, address in form.addresses if tag in ("a", "form")}
        assert not {address for address in offered if re.search(r"configure|reset|delete|pairing|/new", address)}, path
    for path in ("configure", "reset", "delete", "pairing-code"):
        assert (await browser.get(f"/gateways/{gateway_id}/{path}")).status_code == 403
        answer = await browser.post(f"/gateways/{gateway_id}/{path}", csrf)
        assert answer.status_code == 403 and "Your role viewer may not" in answer.text
    assert (await browser.get("/gateways/new")).status_code == 403
    assert (await browser.post("/gateways", {**csrf, "name": "x", "cloud": "simulated"})).status_code == 403


async def test_an_operator_configures_and_does_not_delete(console: Console):
    browser = await with_role(console, Role.OPERATOR)
    gateway_id, _ = await console.configured()
    text = (await browser.get(f"/gateways/{gateway_id}")).text
    assert "/configure" in text and "/delete" not in text
    assert (await browser.get(f"/gateways/{gateway_id}/configure")).status_code == 200
    assert (await browser.get(f"/gateways/{gateway_id}/delete")).status_code == 403


# Errors


async def test_errors_are_pages_for_browsers_and_problems_for_programs(console: Console, browser: Browser):
    unknown = "/gateways/00000000-0000-0000-0000-000000000000"
    for path in (unknown, "/nowhere"):
        shown = await browser.get(path)
        assert shown.status_code == 404 and shown.headers["content-type"].startswith("text/html")
        assert EMAIL in shown.text, "one is still signed in"
        assert "There is no such" in shown.text and "What to do" in shown.text
        plain = await browser.client.get(path, headers={"Accept": "application/json"})
        assert plain.status_code == 404 and plain.headers["content-type"] == "application/problem+json"
    api = await browser.get("/api/v1" + unknown)
    assert api.headers["content-type"] == "application/problem+json"
    assert (await browser.post("/nowhere", {})).status_code == 404
    assert (await browser.get(f"{unknown}/reset")).status_code == 404


async def test_the_set_up_link_makes_the_first_administrator_once(tmp_path: Path):
    app = create_app(Settings(data=tmp_path, public_urls=(BASE,)))
    async with app.router.lifespan_context(app), contextlib.AsyncExitStack() as stack:
        console = Console(app, None, None)  # type: ignore[arg-type]
        browser = anonymous(console)
        stack.push_async_callback(browser.client.aclose)
        link = app.state.setup_link.removeprefix(BASE)
        fields = {**await browser.form(link), "email": EMAIL, "password": PASSWORD}
        assert (await browser.get("/setup?token=wrong")).status_code == 403
        for wrong, message in (
            ({"repeated": "other"}, "The two passwords differ."),
            ({"password": "short", "repeated": "short"}, "at least 12"),
            ({"email": "x", "repeated": PASSWORD}, "not an e-mail address"),
        ):
            answer = await browser.post("/setup", {**fields, **wrong})
            assert answer.status_code == 422 and message in answer.text
        answer = await browser.post("/setup", {**fields, "repeated": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await browser.get("/")).status_code == 200
        assert (await browser.get(link)).status_code == 403
        assert (await browser.post("/setup", {**fields, "repeated": PASSWORD})).status_code == 403
