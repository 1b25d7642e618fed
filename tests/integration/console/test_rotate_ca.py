"""`pcg console rotate-ca` on a console that runs, and on one that does not; and what a backup keeps of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pcg.cli.console import console as console_command
from pcg.clock import SystemClock
from pcg.console.authorities import FILES, NEXT, OLD, PRESENT
from pcg.console.backup import backup
from pcg.console.backup_format import Cost
from pcg.console.restore import restore
from pcg.errors import InvalidInput
from pcg.network.pins import pinned_certificate, spki_pin

from .conftest import Console

PASSPHRASE = "four words are enough"


async def _rotate(data: Path, *options: str, typed: str | None = None) -> Result:
    def run() -> Result:
        return CliRunner().invoke(console_command, ["rotate-ca", "--data", str(data), *options], input=typed)

    return await asyncio.to_thread(run)


def _pins(output: str) -> list[str]:
    return re.findall(r"sha256:[0-9a-f]{64}", output)


async def _look(console: Console) -> None:
    """What the server does once a minute."""
    await console.app.state.ca_watch.look()


async def test_it_begins_shows_whom_it_waits_for_and_can_be_forced(console: Console, tmp_path: Path):
    first = console.service.certificates.pin
    await console.registered("one")
    begun = await _rotate(tmp_path)
    assert begun.exit_code == 0, begun.output
    present, following = _pins(begun.stdout)
    assert present == first
    assert begun.stderr.splitlines()[0] == "does not know it:  one"
    assert "get in after the change" in begun.stderr
    # Again: the same, and nothing is made twice.
    assert (await _rotate(tmp_path)).output == begun.output
    await _look(console)
    assert console.service.certificates.pin == first

    refused = await _rotate(tmp_path, "--now", typed="n\n")
    assert refused.exit_code == 1
    assert (tmp_path / NEXT).exists()
    forced = await _rotate(tmp_path, "--now", typed="y\n")
    assert forced.exit_code == 0, forced.output
    assert _pins(forced.stdout)[-1] == following
    assert "backup" in forced.stdout
    await _look(console)
    shown = await console.client.get("/gateway/v1/ca")
    assert spki_pin(shown.text) == following
    assert pinned_certificate(shown.text, first)
    made = (await console.client.post("/api/v1/gateways", json={"name": "two", "cloud": "simulated"})).json()
    assert made["ca_pin"] == following

    entries = (await console.client.get("/api/v1/audit")).json()["items"]
    told = {item["action"]: item["details"] for item in entries if item["action"].startswith("ca-")}
    assert set(told) == {"ca-next-made", "ca-switched"}
    assert told["ca-next-made"]["pin"] == following
    assert told["ca-switched"]["untold"] == ["one"]
    assert all(details["machine_user"] for details in told.values())


async def test_yes_asks_nobody_and_without_gateways_nobody_is_missing(console: Console, tmp_path: Path):
    first = console.service.certificates.pin
    done = await _rotate(tmp_path, "--now", "--yes")
    assert done.exit_code == 0, done.output
    assert "Every gateway knows the next CA." in done.stdout
    assert _pins(done.stdout)[-1] != first


@pytest.mark.parametrize("missing", ["folder", "ca"])
async def test_where_there_is_no_ca_of_its_own_it_says_so(console: Console, tmp_path: Path, missing: str):
    data = tmp_path
    if missing == "folder":
        data = tmp_path / "nothing"
    else:
        (tmp_path / PRESENT).unlink()
    done = await _rotate(data)
    assert isinstance(done.exception, InvalidInput)
    assert done.exception.field_name == "data"
    assert not (data / NEXT).exists()


@pytest.mark.parametrize("changed", [False, True])
async def test_a_backup_keeps_how_far_it_is(console: Console, tmp_path: Path, changed: bool):
    await _rotate(tmp_path, *(["--now", "--yes"] if changed else []))
    file, target = tmp_path / "a.backup", tmp_path / "restored"
    await asyncio.to_thread(backup, file, tmp_path, PASSPHRASE, SystemClock(), cost=Cost(1, 64, 1))
    await asyncio.to_thread(restore, file, target, PASSPHRASE, SystemClock())
    held = {name for name in FILES if (target / name).exists()}
    assert held == ({PRESENT, OLD} if changed else {PRESENT, NEXT})
    for name in held:
        assert (target / name).read_bytes() == (tmp_path / name).read_bytes()
        assert (target / name).stat().st_mode & 0o777 == 0o600
