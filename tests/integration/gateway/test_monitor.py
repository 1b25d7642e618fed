"""The installer's own page as a real process beside a real installer: it tells when that one is killed, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pcg.gateway import bootstrap
from pcg.gateway.monitor.sign_in import GUESSES
from pcg.model.desired import DesiredState
from pcg.network.trust import Trust
from pcg.wire import frames

from .test_agent import CODE, Installer, until

_WITHIN = 30
"""seconds"""


@dataclass
class Monitor:
    """`pcg monitor` as its unit starts it: no terminal, a file for the login screen."""

    url: str
    password: str
    client: httpx.AsyncClient

    async def enter(self) -> None:
        answer = await self.client.post("/sign-in", data={"password": self.password}, headers={"Origin": self.url})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', await self.page("/tasks"))
        assert found
        return found[1]


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[Monitor]:
    logs, screen = tmp_path / "log", tmp_path / "screen"
    logs.mkdir(exist_ok=True)
    (logs / "cloud-init-output.log").write_text("first line <script>\n")
    options = ["--listen", "127.0.0.1:0", "--state", str(tmp_path / "state"), "--screen", str(screen)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PCG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", "monitor", *options, "--log-folder", str(logs),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_WITHIN):
            line = (await process.stderr.readline()).decode()
        ready = re.search(r"https://\S+", line)
        assert ready, line
        shown = re.search(r"password +(\S+)", screen.read_text())
        assert shown
        trust = Trust.only_leaf((tmp_path / "state/monitor/certificate.pem").read_text())
        async with httpx.AsyncClient(base_url=ready[0], verify=trust.context(), timeout=_WITHIN) as client:
            yield Monitor(ready[0], shown[1], client)
        process.terminate()
        async with asyncio.timeout(_WITHIN):
            output, errors = await process.communicate()
        assert (process.returncode, output) == (0, b""), "no password where there is no screen"
        assert b"Traceback" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_installer_is_killed_and_the_page_still_tells(monitor: Monitor, console: Any, tmp_path: Path) -> None:
    await monitor.enter()
    assert "No gateway process has told anything" in await monitor.page("/")
    console.pairing_key = bootstrap.pairing_public_key(CODE)
    console.desired = DesiredState(generation=1, incarnation=1, mode="idle")
    installer = Installer(console, tmp_path)
    await installer.start()
    try:
        await until(lambda: console.of_type(frames.Status), "a status", installer)
        async with asyncio.timeout(_WITHIN):
            while "jet-crash-loop" not in (page := await monitor.page("/")) or "connected" not in page:
                await asyncio.sleep(0.2)
        assert "as first (g-1)" in page
        assert "Evidence" in page
    finally:
        await installer.end(signal.SIGKILL)
    page = await monitor.page("/")
    assert "process is not running since" in page
    assert "as first (g-1)" in page
    assert "Registered" in page
    assert CODE not in page


async def test_a_log_grows_live_and_is_downloaded(monitor: Monitor, tmp_path: Path) -> None:
    await monitor.enter()
    log = tmp_path / "log" / "cloud-init-output.log"
    assert "first line &lt;script&gt;" in await monitor.page("/logs/cloud-init-output")
    async with asyncio.timeout(_WITHIN), monitor.client.stream("GET", "/logs/cloud-init-output/live") as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        async with contextlib.aclosing(live.aiter_lines()) as lines:
            async for line in lines:
                if line == "data: first line <script>":
                    with log.open("a") as file:
                        file.write("a second\n")
                if line == "data: a second":
                    break
    answer = await monitor.client.get("/logs/cloud-init-output/download")
    assert answer.content == log.read_bytes()
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_task_is_run_and_tells(monitor: Monitor) -> None:
    await monitor.enter()
    token = await monitor.csrf()
    answer = await monitor.client.post("/tasks/gateway", data={"csrf": token}, headers={"Origin": monitor.url})
    assert answer.status_code == 303
    async with asyncio.timeout(_WITHIN):
        while "process: never-started" not in await monitor.page("/tasks"):
            await asyncio.sleep(0.05)


async def test_nobody_sees_anything_without_the_password(monitor: Monitor) -> None:
    for path in ("/", "/logs", "/logs/cloud-init-output/download", "/logs/cloud-init-output/live", "/tasks"):
        answer = await monitor.client.get(path, headers={"Cookie": "__Host-pcg_monitor=guess"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    for guess in ["admin"] * GUESSES:
        answer = await monitor.client.post("/sign-in", data={"password": guess}, headers={"Origin": monitor.url})
        assert answer.status_code == 401
    answer = await monitor.client.post("/sign-in", data={"password": monitor.password}, headers={"Origin": monitor.url})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


async def test_forms_of_others_are_refused(monitor: Monitor) -> None:
    await monitor.enter()
    token = await monitor.csrf()
    for path in ("/tasks/gateway", "/sign-out"):
        for data, origin in (
            ({}, monitor.url),
            ({"csrf": "x"}, monitor.url),
            ({"csrf": token}, "https://evil.example"),
        ):
            answer = await monitor.client.post(path, data=data, headers={"Origin": origin})
            assert answer.status_code == 403, (path, data, origin)
        assert (await monitor.client.post(path, data={"csrf": token})).status_code == 403
    assert (await monitor.client.get("/tasks/gateway")).status_code == 405
    assert "process:" not in await monitor.page("/tasks")
    answer = await monitor.client.post("/sign-out", data={"csrf": token}, headers={"Origin": monitor.url})
    assert answer.status_code == 303
    assert (await monitor.client.get("/")).headers["location"] == "/sign-in"


async def test_strange_requests(monitor: Monitor) -> None:
    await monitor.enter()
    for name in ("..%2f..%2fstate%2fkeys.json", "%2fetc%2fpasswd", "../state/keys.json", "cloud-init-output%00", "x"):
        for more in ("", "/download", "/live"):
            answer = await monitor.client.get(f"/logs/{name}{more}")
            assert answer.status_code == 404, name
            assert "root:" not in answer.text
    assert (await monitor.client.get("/static/..%2ftemplates%2fbase.html")).status_code == 404
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert (await monitor.client.get("/", headers={"Host": host})).status_code in (400, 421)
    assert (await monitor.client.get("/", headers={"X-Long": "x" * 100_000})).status_code in (400, 431)
    answer = await monitor.client.post("/sign-in", content=b"x" * 100_000, headers={"Origin": monitor.url})
    assert answer.status_code == 413
    assert "pcg installer" in await monitor.page("/")


async def test_old_tls_and_plain_http_are_refused(monitor: Monitor) -> None:
    host, _, port = monitor.url.removeprefix("https://").partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    def speak() -> None:
        with socket.create_connection((host, int(port)), timeout=_WITHIN) as plain, context.wrap_socket(plain):
            pass

    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(speak)
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(f"http://{host}:{port}/")
