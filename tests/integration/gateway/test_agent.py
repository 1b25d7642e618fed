"""The gateway's whole life as a real process against a console on a real socket: paired, stopped, killed, ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pcg.gateway import bootstrap
from pcg.model.desired import DesiredState
from pcg.sealing import pairing_code
from pcg.sealing.boxes import seal
from pcg.wire import frames

CODE = pairing_code.generate()


class Installer:
    """`pcg install` as a person starts it."""

    def __init__(self, console: Any, folder: Path) -> None:
        self._console = console
        self._state = folder / "state"
        self._code = folder / "code"
        self._code.write_text(CODE + "\n")
        self.process: asyncio.subprocess.Process | None = None
        self.lines: list[str] = []
        self._reading: asyncio.Task[None] | None = None

    async def start(self, *more: str, endpoint: str = "") -> None:
        command = ["-m", "pcg.cli.main", "install", "--endpoint", endpoint or self._console.url]
        command += ["--ca-pin", self._console.authority.pin, "--pairing-code-file", str(self._code)]
        command += ["--state", str(self._state), "--jet-speed", "50", *more]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PCG_")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=environment, stderr=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self.process.stderr))

    async def _read(self, stream: Any) -> None:
        async for line in stream:
            self.lines.append(line.decode().rstrip())

    async def end(self, number: int | None = None) -> int:
        assert self.process is not None
        assert self._reading is not None
        if number is not None and self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            code = await self.process.wait()
            await self._reading
        return code

    def files(self) -> list[str]:
        return sorted(path.name for path in self._state.rglob("*") if path.is_file())


@pytest.fixture
async def installer(console: Any, tmp_path: Path) -> AsyncIterator[Installer]:
    console.pairing_key = bootstrap.pairing_public_key(CODE)
    made = Installer(console, tmp_path)
    yield made
    if made.process is not None:
        await made.end(signal.SIGKILL)


async def until(condition: Callable[[], Any], what: str, installer: Installer) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}\n" + "\n".join(installer.lines)) from None


def resident_kib(pid: int) -> int:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1])


async def test_paired_stopped_killed_and_started_again(console: Any, installer: Installer) -> None:
    console.desired = DesiredState(generation=1, incarnation=1, mode="idle")
    await installer.start()
    await until(lambda: console.of_type(frames.Status), "a status", installer)
    assert installer.process is not None
    assert resident_kib(installer.process.pid) < 80 * 1024
    await until(lambda: "Registered" in [event.reason for event in console.events], "the event", installer)
    # Crash-looping jet is the expected notice, not a fault.
    await until(lambda: console.of_type(frames.Status)[-1].status.findings, "the notice", installer)
    (finding,) = console.of_type(frames.Status)[-1].status.findings
    assert (finding.scenario, finding.severity) == ("jet-crash-loop", "info")
    assert await installer.end(signal.SIGTERM) == 0
    assert any("fingerprint" in line for line in installer.lines)
    assert CODE not in "\n".join(installer.lines)

    for number in (signal.SIGKILL, signal.SIGTERM):
        console.received.clear()
        await installer.start()
        await until(lambda: console.of_type(frames.Status), "a status again", installer)
        await installer.end(number)
    assert len(console.registered) == 1
    assert [event.reason for event in console.events].count("Registered") == 1
    assert console.term == 3


async def test_jet_heals_by_the_token_and_farewell_wipes(console: Any, installer: Installer) -> None:
    await installer.start()
    await until(lambda: console.sockets, "a session", installer)
    console.jet_token = "right"
    token = seal(console.registered[0].sealing_key, b"right")
    await console.send(frames.Desired(state=DesiredState(generation=2, incarnation=1, mode="run", jet_token=token)))
    await until(lambda: console.jets, "a jet", installer)
    await until(lambda: "JetReady" in [event.reason for event in console.events], "the event", installer)
    await console.send(frames.Farewell())
    assert await installer.end() == 0
    assert installer.files() == ["deleted", "lock"]
    assert "keys are wiped" in installer.lines[-1]


@pytest.mark.parametrize(
    "frame,word",
    [
        (frames.Superseded(term=9), "taken over"),
        (frames.Farewell(reason="revoked"), "revoked"),
        (frames.Refusal(reason="unknown-gateway", final=True), "unknown-gateway"),
    ],
)
async def test_the_consoles_final_no_ends_with_4(
    console: Any, installer: Installer, frame: frames.Frame, word: str
) -> None:
    await installer.start()
    await until(lambda: console.sockets, "a session", installer)
    await console.send(frame)
    assert await installer.end() == 4
    assert any(line.startswith("error:") and word in line for line in installer.lines)
    assert "Traceback" not in "\n".join(installer.lines)
    assert "keys.json" in installer.files()


async def test_a_refused_code_ends_with_4_and_wrong_input_with_2(console: Any, installer: Installer) -> None:
    console.pairing_key = "another"
    await installer.start()
    assert await installer.end() == 4
    assert any("pairing-code-unknown" in line for line in installer.lines)
    await installer.start(endpoint="http://127.0.0.1:1")
    assert await installer.end() == 2


async def test_a_stop_during_bootstrap_is_clean(console: Any, installer: Installer, unused_tcp_port: int) -> None:
    await installer.start(endpoint=f"https://127.0.0.1:{unused_tcp_port}")
    await until(lambda: any("next try" in line for line in installer.lines), "a try", installer)
    assert await installer.end(signal.SIGTERM) == 0
