"""The console changes its CA under a gateway that is a real process: `pcg install` with its jet, over real TLS.

The console's clock is moved; OpenSSL's is not, so it begins eight days ago: what the console signs at the end is dated
a day back of today.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pcg.console import ca_rotation
from pcg.console.authorities import open_authorities, pem_of, pin_of
from pcg.network.pins import spki_pin, spki_pins

from . import conftest
from .conftest import Console, until
from .test_both_sides import CONFIGURATION

WEEK_AND_MORE = timedelta(days=7, hours=6)


class MovableClock:
    """The machine's own, so many days back, and forward by `move`, which wakes whoever sleeps until then."""

    offset = timedelta(days=-8)
    _moved = asyncio.Event()

    def monotonic(self) -> float:
        return time.monotonic() + self.offset.total_seconds()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def sleep(self, seconds: float) -> None:
        due = self.monotonic() + seconds
        while (rest := due - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._moved.wait()

    @classmethod
    def move(cls, by: timedelta) -> None:
        cls.offset += by
        moved, cls._moved = cls._moved, asyncio.Event()
        moved.set()


@pytest.fixture(autouse=True)
def _moved_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # Before the fixture `console` starts, which asks for it by this name.
    monkeypatch.setattr(conftest, "SystemClock", MovableClock)
    monkeypatch.setattr(MovableClock, "offset", MovableClock.offset)
    monkeypatch.setattr(MovableClock, "_moved", asyncio.Event())


class Installer:
    """`pcg install` as a unit file starts it: always with the same arguments."""

    def __init__(self, console: Console, folder: Path, made: dict[str, Any]) -> None:
        self.gateway_id = str(made["gateway"]["id"])
        self.state = folder / "state"
        self.lines: list[str] = []
        code = folder / "code"
        code.write_text(made["pairing_code"])
        self._command = ["install", "--endpoint", console.url, "--ca-pin", made["ca_pin"]]
        self._command += ["--pairing-code-file", str(code), "--state", str(self.state), "--jet-speed", "50"]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pcg.cli.main", *self._command,
            env={key: value for key, value in os.environ.items() if not key.startswith("PCG_")},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self._process.stderr))

    async def _read(self, stream: Any) -> None:
        async for line in stream:
            self.lines.append(line.decode().rstrip())

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
            await self._reading

    def times_up(self) -> int:
        return sum("session with the console is up" in line for line in self.lines)

    def registration(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "registration.json").read_text()))

    def trusted(self) -> tuple[list[str], list[str]]:
        """By the gateway and by its jet."""
        return spki_pins(self.registration()["ca"]), spki_pins((self.state / "jet" / "ca.pem").read_text())


@pytest.fixture
async def installer(console: Console, tmp_path: Path) -> AsyncIterator[Installer]:
    made = Installer(console, tmp_path, await console.create())
    await made.start()
    try:
        await until(made.times_up, "a session")
        yield made
    finally:
        await made.kill()


def _jets(console: Console) -> int:
    return console.service.counts.requests["POST", "/gateway/v1/jet", "200"]


async def _begin(console: Console) -> str:
    """As `pcg console rotate-ca` does; the pin of the next CA."""
    clock = MovableClock()
    await ca_rotation.begin(console.service.database, console.data, clock.now())
    clock.move(timedelta(minutes=1))
    stands = await ca_rotation.standing(console.service.database, console.data, clock.now())
    assert stands.next_pin is not None
    return stands.next_pin


async def _trusts(console: Console, gateway_id: str) -> list[str]:
    async with console.service.database.read() as session:
        row = await session.get(ca_rotation.Gateway, gateway_id)
        assert row is not None
        return list((row.status or {}).get("trusts", []))


async def test_a_gateway_and_its_jet_go_along(console: Console, installer: Installer):
    answer = await console.client.put(f"/gateways/{installer.gateway_id}/configuration", json=CONFIGURATION)
    assert answer.status_code == 200, answer.text
    await until(lambda: _jets(console), "its jet")
    first = console.pin
    following = await _begin(console)
    both = [first, following]
    await until(lambda: installer.trusted() == (both, both), "both CAs on its disk")
    async with asyncio.timeout(20):
        while await _trusts(console, installer.gateway_id) != both:
            await asyncio.sleep(0.02)
    assert (await console.create("meanwhile"))["ca_pin"] == first

    MovableClock.move(WEEK_AND_MORE)
    await until(lambda: installer.trusted() == ([following], [following]), "the next CA alone")
    assert console.service.certificates.pin == following
    assert (await console.create("afterwards"))["ca_pin"] == following

    before = installer.times_up()
    console.relay.cut()
    await until(lambda: installer.times_up() > before, "a session by the next CA")
    # Started again as its unit file has it, with the old pin.
    await installer.kill()
    jets = _jets(console)
    await installer.start()
    await until(installer.times_up, "a session after a restart")
    assert any("registered already" in line for line in installer.lines)
    await until(lambda: _jets(console) > jets, "its jet by the next CA")
    assert installer.registration()["pins"] == both
    reasons = {item["reason"] for item in (await console.get(f"/gateways/{installer.gateway_id}/events"))["items"]}
    assert "ConsoleCaChanged" in reasons
    actions = [item["action"] for item in (await console.get("/audit"))["items"]]
    assert (actions.count("ca-next-made"), actions.count("ca-switched")) == (1, 1)


async def test_one_that_was_away_all_the_time_still_gets_in_and_learns_it(console: Console, installer: Installer):
    await installer.kill()
    first = console.pin
    following = await _begin(console)
    clock = MovableClock()
    await ca_rotation.finish(console.service.database, console.data, clock.now())
    clock.move(timedelta(minutes=1))
    await until(lambda: console.service.certificates.pin == following, "the change")
    assert installer.trusted() == ([first], [first])
    await installer.start()
    await until(lambda: installer.trusted() == ([following], [following]), "the next CA")
    # So does an installer with a code that was handed out with the old pin.
    late = Installer(console, installer.state.parent, {**(await console.create("late")), "ca_pin": first})
    late.state = installer.state.parent / "late"
    late._command[late._command.index("--state") + 1] = str(late.state)
    await late.start()
    try:
        await until(lambda: late.times_up() and late.trusted() == ([following], [following]), "the next CA")
    finally:
        await late.kill()


async def test_one_that_was_away_until_the_old_ca_ended_is_told_what_to_do(
    console: Console, installer: Installer, tmp_path: Path
):
    await installer.kill()
    ended = tmp_path / "ended"
    ended.mkdir()
    gone = pem_of(open_authorities(ended, datetime.now(UTC) - timedelta(days=20 * 365 + 3)).present.certificate)
    registration = {**installer.registration(), "ca": gone, "pins": [console.pin]}
    (installer.state / "registration.json").write_text(json.dumps(registration))
    await installer.start()
    words = "was away while the console changed its CA"
    await until(lambda: any(words in line for line in installer.lines), "the words")
    line = next(line for line in installer.lines if words in line)
    assert f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}" in line
    assert "Pair it anew" in line
    # And that helps: the code beside the new pin, for the same gateway.
    await installer.kill()
    answer = await console.client.post(f"/gateways/{installer.gateway_id}/pairing-code")
    again = Installer(console, tmp_path, answer.json())
    assert again.gateway_id == installer.gateway_id
    await again.start()
    try:
        await until(again.times_up, "a session")
        assert again.trusted()[0] == [console.pin]
        assert pin_of(open_authorities(console.data, datetime.now(UTC)).present.certificate) == console.pin
        assert spki_pin(gone) != console.pin
    finally:
        await again.kill()
