"""`pcg simulate` as a process: one ready line, everything kept over a kill, a clean end, clear refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pcg.cli.demo_faults import Lab
from pcg.clouds.base import Login
from pcg.clouds.simulated.cloud import SimulatedCloud
from pcg.processes.child import Child, start

ACCOUNT = "svc-pcg@vsphere.local"


@contextlib.asynccontextmanager
async def simulating(state: Path, *options: str) -> AsyncIterator[tuple[Child, dict[str, Any]]]:
    command = [sys.executable, "-m", "pcg.cli.main", "simulate", "--listen", "127.0.0.1:0", "--state", str(state)]
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = await start([*command, *options], os.environ, lambda stream, line: lines.put_nowait(f"{stream} {line}"))
    try:
        async with asyncio.timeout(30):
            while not (line := await lines.get()).startswith("stdout "):
                pass
        yield child, json.loads(line.removeprefix("stdout "))
    finally:
        await child.kill()


def login(ready: dict[str, Any], password: str) -> Login:
    return Login(ready["ready"], ACCOUNT, password, ready["thumbprint"])


async def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    async with simulating(tmp_path, "--speed", "50") as (child, first):
        password = (tmp_path / "password").read_text()
        lab = Lab(first)
        made = await lab.add_stranger("pcg-left-here")
        await lab.switch("dhcp/leases-all-taken", on=True)
        before = await lab.machines()
        await child.kill()
    async with simulating(tmp_path, "--speed", "50") as (child, second):
        again = Lab(second)
        assert await again.machines() == before
        assert made in [machine["id"] for machine in before]
        for kept in ("thumbprint", "control_key", "control_plane_address", "image", "placement"):
            assert second[kept] == first[kept]
        async with SimulatedCloud().connect(login(second, password)) as connection:
            assert await connection.list_machines("nobody") == []
        assert await child.stop() == 0


async def test_its_secrets_are_for_its_own_user_alone(tmp_path: Path) -> None:
    async with simulating(tmp_path):
        for name in ("password", "server.pem"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_second_one_on_the_same_state_is_refused_with_words(tmp_path: Path) -> None:
    async with simulating(tmp_path):
        command = [sys.executable, "-m", "pcg.cli.main", "simulate", "--listen", "127.0.0.1:0", "--state"]
        second = await asyncio.create_subprocess_exec(*command, str(tmp_path), stderr=asyncio.subprocess.PIPE)
        _, told = await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode == 1
        assert "in use by another process" in told.decode()
        assert "Traceback" not in told.decode()
