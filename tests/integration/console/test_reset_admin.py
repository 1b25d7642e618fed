"""`pcg console reset-admin`: the way back in from the console's own machine, with the console running or not."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcg.cli.console import console as console_command
from pcg.cli.failure import show_failure
from pcg.clock import SystemClock
from pcg.console.accounts import Accounts
from pcg.console.auth import Actor
from pcg.errors import Conflict, CredentialsRejected, InvalidInput, NotFound, Refused, SetupMissing
from pcg.model.states import Role

from .browsing import Form, anonymous, signed_in
from .conftest import BASE, EMAIL, PASSWORD, Console

NEW = "another long password"


async def _reset(data: Path, *options: str, password: str | None = None, typed: str | None = None) -> Result:
    environment = {"PCG_ADMIN_PASSWORD": password}

    def run() -> Result:
        arguments = ["reset-admin", "--data", str(data), *options]
        return CliRunner().invoke(console_command, arguments, env=environment, input=typed)

    return await asyncio.to_thread(run)


async def _link(data: Path, *options: str) -> str:
    done = await _reset(data, *options)
    assert done.exit_code == 0, done.output
    (token,) = re.findall(r"/setup\?token=(\S+)", done.output.splitlines()[0])
    return f"/setup?token={token}"


async def _actions(console: Console) -> list[str]:
    items = (await console.service.audit.entries(console.admin, limit=20)).items
    return [f"{item.actor} {item.action}" for item in items]


async def test_a_new_password_ends_sessions_and_keys_of_a_running_console(console: Console, tmp_path: Path):
    browser = await signed_in(console)
    other = await console.as_role(Role.OPERATOR)
    done = await _reset(tmp_path, "--email", EMAIL.upper(), password=NEW)
    assert done.exit_code == 0, done.output
    assert NEW not in done.output
    assert (await browser.get("/")).status_code == 303
    assert (await console.client.get("/api/v1/gateways")).status_code == 401
    assert (await other.get("/api/v1/gateways")).status_code == 200
    with pytest.raises(CredentialsRejected):
        await console.service.accounts.check_password(EMAIL, PASSWORD)
    await console.service.accounts.check_password(EMAIL, NEW)
    entries = (await console.service.audit.entries(console.admin, limit=10)).items
    (entry,) = [item for item in entries if item.action == "administrator-reset"]
    assert entry.actor == "console"
    assert entry.details["email"] == EMAIL
    assert (entry.details["sessions_ended"], entry.details["keys_ended"]) == (1, 1)
    assert entry.details["machine_user"]


async def test_a_prompt_asks_twice_and_hides(console: Console, tmp_path: Path):
    done = await _reset(tmp_path, "--email", EMAIL, typed=f"{NEW}\n{NEW}\n")
    assert done.exit_code == 0, done.output
    assert NEW not in done.output
    await console.service.accounts.check_password(EMAIL, NEW)


async def test_a_link_gives_a_known_administrator_a_new_password_once(console: Console, tmp_path: Path):
    old = await signed_in(console)
    link = await _link(tmp_path, "--public-url", BASE)
    browser = anonymous(console)
    fields = {**Form((await browser.get(link)).text).fields, "email": EMAIL, "password": NEW, "repeated": NEW}
    short = await browser.post("/setup", {**fields, "password": "short", "repeated": "short"})
    assert short.status_code == 422
    answer = await browser.post("/setup", fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (await browser.get("/")).status_code == 200
    assert (await old.get("/")).status_code == 303
    assert (await browser.post("/setup", fields)).status_code == 403
    assert (await anonymous(console).get(link)).status_code == 403
    assert (await _actions(console))[1:3] == ["console administrator-by-link", "console recovery-link-made"]


async def test_a_link_makes_an_administrator_who_was_not_there(console: Console, tmp_path: Path):
    token = (await _link(tmp_path)).partition("token=")[2]
    made = await console.service.accounts.set_up(token, "new@example.com", NEW)
    assert made.role is Role.ADMIN
    await console.service.accounts.check_password("new@example.com", NEW)
    await console.service.accounts.check_password(EMAIL, PASSWORD)
    assert (await console.client.get("/api/v1/gateways")).status_code == 200


async def test_a_link_ends_after_an_hour_and_by_a_newer_one(console: Console, tmp_path: Path):
    older, newer = await _link(tmp_path), await _link(tmp_path)
    assert (await anonymous(console).get(older)).status_code == 403
    assert (await anonymous(console).get(newer)).status_code == 200

    class Later(SystemClock):
        def now(self):  # type: ignore[no-untyped-def]
            return super().now() + timedelta(hours=1)

    accounts, token = Accounts(console.service.database, Later()), newer.partition("token=")[2]
    assert not await accounts.setup_possible(token)
    with pytest.raises(Refused, match="not good any more"):
        await accounts.set_up(token, EMAIL, NEW)


async def test_two_forms_of_one_link_make_one_administrator(console: Console, tmp_path: Path):
    token = (await _link(tmp_path)).partition("token=")[2]
    emails = ("one@example.com", "two@example.com")
    accounts = console.service.accounts
    answers = await asyncio.gather(*(accounts.set_up(token, email, NEW) for email in emails), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Refused", "UserView"]


async def test_the_link_is_not_in_the_store(console: Console, tmp_path: Path):
    token = (await _link(tmp_path)).partition("token=")[2]
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or token.encode() not in file.read_bytes()


async def test_only_administrators_who_exist(console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    admin: Actor = console.admin
    await console.service.accounts.create_user(admin, "viewer@example.com", Role.VIEWER, PASSWORD)
    unknown = await _reset(tmp_path, "--email", "nobody@example.com", password=NEW)
    assert isinstance(unknown.exception, NotFound)
    assert EMAIL in str(unknown.exception.evidence)
    viewer = await _reset(tmp_path, "--email", "viewer@example.com", password=NEW)
    assert isinstance(viewer.exception, Conflict)
    short = await _reset(tmp_path, "--email", EMAIL, password="short")
    assert isinstance(short.exception, InvalidInput)
    await console.service.accounts.check_password(EMAIL, PASSWORD)
    assert show_failure(unknown.exception, debug=False) == 1
    assert "remedy" in capsys.readouterr().err


async def test_a_folder_of_no_console_is_left_as_it_is(tmp_path: Path):
    done = await _reset(tmp_path)
    assert isinstance(done.exception, InvalidInput)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "console.db").write_bytes(b"")
    assert isinstance((await _reset(tmp_path)).exception, SetupMissing)
