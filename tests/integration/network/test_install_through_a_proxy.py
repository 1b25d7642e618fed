"""`pcg install` as a process behind a real proxy: registration, session and its jet all go through it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from integration.gateway.conftest import Authority, ConsoleDouble
from integration.gateway.conftest import console as console_double
from integration.gateway.test_agent import CODE, Installer, until
from pcg.clouds.lab.edge.forward_proxy import ForwardProxy
from pcg.gateway import bootstrap
from pcg.model.desired import DesiredState
from pcg.sealing.boxes import seal
from pcg.wire import frames

from .conftest import CREDENTIALS, PASSWORD

console = console_double


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def installer(console: ConsoleDouble, tmp_path: Path) -> AsyncIterator[Installer]:
    console.pairing_key = bootstrap.pairing_public_key(CODE)
    made = Installer(console, tmp_path)
    yield made
    if made.process is not None:
        await made.end(signal.SIGKILL)


async def test_everything_goes_through_it(
    console: Any, installer: Installer, proxy: ForwardProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No proxy of the environment may be used behind a person's back: nothing listens there.
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    file = tmp_path / "https-proxy"
    file.write_text(f"http://{CREDENTIALS}@{proxy.address}\n")
    await installer.start("--https-proxy-file", str(file), "--no-proxy", "elsewhere.example,10.0.0.0/8")
    await until(lambda: console.sockets, "a session", installer)
    await until(lambda: proxy.hits["connect"] == 4, "CA, registration, session, release", installer)
    console.jet_token = "right"
    token = seal(console.registered[0].sealing_key, b"right")
    await console.send(frames.Desired(state=DesiredState(generation=2, incarnation=1, mode="run", jet_token=token)))
    await until(lambda: console.jets, "a jet", installer)
    assert proxy.hits["connect"] == 5
    assert installer.process is not None
    arguments = Path(f"/proc/{installer.process.pid}/cmdline").read_text()
    await console.send(frames.Farewell())
    assert await installer.end() == 0
    told = "\n".join(installer.lines)
    assert f"registering at {console.url} through http://{proxy.address}" in told
    for text in (told, arguments):
        assert PASSWORD not in text
        assert CREDENTIALS not in text


async def test_a_proxy_that_refuses_is_told_and_then_not(
    console: Any, installer: Installer, proxy: ForwardProxy, tmp_path: Path
) -> None:
    proxy.faults.add("refuse")
    await installer.start("--https-proxy", f"http://{CREDENTIALS}@{proxy.address}")
    await until(lambda: any("forbids it" in line for line in installer.lines), "the refusal", installer)
    assert any("every user of this machine can read a password on the command line" in line for line in installer.lines)
    proxy.faults.clear()
    await until(lambda: console.sockets, "a session", installer)
    assert await installer.end(signal.SIGTERM) == 0
    assert PASSWORD not in "\n".join(installer.lines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--https-proxy", "socks5://user:secret@proxy:1080"), "SOCKS is not spoken"),
        (("--https-proxy", "http://proxy"), "its port is missing"),
        (("--no-proxy", "a.example,10.0.0.0/99"), "10.0.0.0/99"),
        (("--proxy-ca-file", os.devnull, "--https-proxy-file", "/nonexistent"), "cannot be read"),
        (("--ovf-env", os.devnull), "The OVF environment is wrong"),
    ],
)
async def test_wrong_settings_end_before_any_call(
    console: Any, installer: Installer, options: tuple[str, ...], words: str
) -> None:
    await installer.start(*options)
    assert await installer.end() == 2
    told = "\n".join(installer.lines)
    assert words in told
    assert "secret" not in told.replace("the command line", "")
