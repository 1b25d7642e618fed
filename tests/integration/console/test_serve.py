"""`pcg console serve` as a process: TLS from the first start, one line when ready, a quick and clean end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .conftest import EMAIL, PASSWORD


@dataclass
class Served:
    process: asyncio.subprocess.Process
    url: str
    lines: list[str]
    context: ssl.SSLContext


@contextlib.asynccontextmanager
async def _serve(data: Path, *options: str, listen: str = "127.0.0.1:0", **environment: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", "console", "serve", "--listen", listen, "--data", str(data), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("PCG_")} | environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = []
        async with asyncio.timeout(30):
            while not any(line.startswith("console ready at ") for line in lines):
                line = (await process.stdout.readline()).decode()
                assert line, (await process.communicate())[1].decode()
                lines.append(line.strip())
        while not lines[-1].startswith("CA pin: "):
            line = (await process.stdout.readline()).decode()
            assert line
            lines.append(line.strip())
        authority = (data / "ca.pem").read_text().partition("-----BEGIN CERTIFICATE-----")
        context = ssl.create_default_context(cadata="".join(authority[1:]))
        yield Served(process, lines[0].removeprefix("console ready at "), lines, context)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


ADMIN = {"PCG_ADMIN_EMAIL": EMAIL, "PCG_ADMIN_PASSWORD": PASSWORD}


async def test_it_serves_tls_of_its_own_ca_and_ends_quickly_with_streams_open(tmp_path: Path):
    async with _serve(tmp_path / "data", **ADMIN) as served:
        assert served.url.startswith("https://127.0.0.1:")
        assert not served.url.endswith(":0")
        async with httpx.AsyncClient(base_url=served.url, verify=served.context) as client:
            key = (await client.post("/api/v1/keys", json={"name": "t"}, auth=(EMAIL, PASSWORD))).json()["key"]
            client.headers["Authorization"] = f"Bearer {key}"
            made = (await client.post("/api/v1/gateways", json={"name": "one", "cloud": "simulated"})).json()
            assert made["endpoint"] == served.url
            url = f"/api/v1/gateways/{made['gateway']['id']}/events"
            async with client.stream("GET", url, headers={"Accept": "text/event-stream"}) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                begun = time.monotonic()
                served.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    async for _ in stream.aiter_bytes():
                        pass
                    await served.process.wait()
        assert time.monotonic() - begun < 3
        assert served.process.returncode == 0
        assert served.process.stderr is not None
        assert (await served.process.stderr.read()).decode() == ""


async def test_it_keeps_what_it_had_after_a_kill(tmp_path: Path):
    async with _serve(tmp_path, **ADMIN) as served:
        async with httpx.AsyncClient(base_url=served.url, verify=served.context) as client:
            key = (await client.post("/api/v1/keys", json={"name": "t"}, auth=(EMAIL, PASSWORD))).json()["key"]
        served.process.kill()
        await served.process.wait()
    async with _serve(tmp_path, **ADMIN) as served:
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=served.url, verify=served.context, headers=headers) as client:
            assert (await client.get("/api/v1/gateways")).status_code == 200


async def test_nothing_older_than_tls_1_2(tmp_path: Path):
    async with _serve(tmp_path, **ADMIN) as served:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        host, _, port = served.url.removeprefix("https://").partition(":")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=old)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection(host, int(port), ssl=old)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.transport.abort()


async def test_without_an_administrator_it_prints_the_link(tmp_path: Path):
    async with _serve(tmp_path) as served:
        assert served.lines[1].startswith(f"set-up link: {served.url}/setup?token=")


async def test_an_address_that_is_taken_is_told_readably(tmp_path: Path):
    async with _serve(tmp_path / "one", **ADMIN) as served:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pcg.cli.main", "console", "serve", "--data", str(tmp_path / "two"),
            "--listen", served.url.removeprefix("https://"), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, told = await process.communicate()
    assert process.returncode
    assert "cannot listen" in told.decode()
    assert "Traceback" not in told.decode()
