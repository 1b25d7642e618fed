"""`pcg simulate --edge-to`: the data center's process has an edge too, and its lab switches the edge's faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dns.asyncquery
import dns.message
import httpx
import pytest

from doubles.serving import serving
from pcg.cli.demo_faults import Lab
from pcg.processes.child import Child, start

CLOUDS = ["simulated", pytest.param("vsphere", marks=pytest.mark.vsphere)]


def _command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pcg.cli.main", "simulate", "--listen", "127.0.0.1:0", *options]


@contextlib.asynccontextmanager
async def simulating(*options: str) -> AsyncIterator[tuple[Child, dict[str, Any]]]:
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = await start(_command(*options), os.environ, lambda stream, line: lines.put_nowait(f"{stream} {line}"))
    try:
        async with asyncio.timeout(60):
            while not (line := await lines.get()).startswith("stdout "):
                pass
        yield child, json.loads(line.removeprefix("stdout "))
    finally:
        await child.kill()


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    async with serving(greet) as port:
        yield f"127.0.0.1:{port}"


async def _greeted(ready: dict[str, Any]) -> bytes:
    """By the name server and the endpoint of the ready line."""
    edge = ready["edge"]
    endpoint = urlsplit(edge["endpoint"])
    host, _, port = edge["name_server"].rpartition(":")
    query = dns.message.make_query(str(endpoint.hostname), "A")
    answer = await dns.asyncquery.udp(query, host, timeout=2, port=int(port))
    reader, writer = await asyncio.open_connection(answer.answer[0][0].to_text(), endpoint.port)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_its_lab_switches_the_edge_beside_its_own_faults(cloud: str, upstream: str, tmp_path: Path) -> None:
    async with simulating("--cloud", cloud, "--state", str(tmp_path), "--edge-to", upstream) as (child, ready):
        assert await _greeted(ready) == b"hello"
        lab = Lab(ready)
        await lab.switch("edge/console/down", on=True)
        with pytest.raises(ConnectionRefusedError):
            await _greeted(ready)
        assert await lab.hits("edge/console/down") == 1
        await lab.switch("edge/console/down", on=False)
        assert await _greeted(ready) == b"hello"
        with pytest.raises(httpx.HTTPStatusError) as caught:
            await lab.switch("edge/console/none", on=True)
        assert caught.value.response.status_code == 404
        if cloud == "simulated":
            assert await lab.hits("dhcp/leases-all-taken") == 0
            await lab.switch("dhcp/leases-all-taken", on=True)
        assert await child.stop() == 0


async def test_a_kill_changes_no_address(upstream: str, tmp_path: Path) -> None:
    options = ("--state", str(tmp_path), "--edge-to", upstream)
    async with simulating(*options) as (_, first):
        pass
    async with simulating(*options) as (_, second):
        assert second["edge"] == first["edge"]
        assert await _greeted(second) == b"hello"


async def test_without_the_option_there_is_no_edge(tmp_path: Path) -> None:
    async with simulating("--state", str(tmp_path)) as (_, ready):
        assert "edge" not in ready
        with pytest.raises(KeyError):
            await Lab(ready).hits("edge/console/down")


@pytest.mark.parametrize(
    "options,words",
    [
        (["--edge-to", "192.0.2.1:443"], "is not HOST:PORT of this machine"),
        (["--edge-to", "nowhere"], "is not HOST:PORT of this machine"),
        (["--edge-to", "127.0.0.1:1", "--edge-ca", __file__], "cannot be used as a CA"),
        (["--edge-ca", __file__], "--edge-ca is for --edge-to"),
    ],
    ids=["elsewhere", "no port", "no CA", "CA alone"],
)
async def test_what_cannot_be_used_is_told(options: list[str], words: str, tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *_command("--state", str(tmp_path), *options), stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode not in (0, None)
    assert words in told.decode()
    assert "Traceback" not in told.decode()
