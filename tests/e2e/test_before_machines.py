"""What a person asks before any machine is made, by the commands themselves, through a real console and gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.cli.client import Login, open_console
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway

from .following import reached

SPEED = 20.0


async def pcg(login: Login, *arguments: str) -> tuple[int, Any]:
    """Exit code and what was printed, as JSON."""
    environment = {"PCG_CONSOLE": login.url, "PCG_CA_PIN": login.ca_pin, "PCG_API_KEY": login.api_key}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pcg.cli.main",
        *arguments,
        "--output",
        "json",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, json.loads(out) if out.strip() else None


@pytest.mark.parametrize("cloud", ["simulated", pytest.param("vsphere", marks=pytest.mark.vsphere)])
async def test_preflight_inventory_and_ports_of_a_gateway(tmp_path: Path, cloud: str) -> None:
    stack = Stack(cloud=cloud, speed=SPEED, folder=tmp_path / "stack")
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        login = await stack.login()
        async with open_console(login) as console:
            created = await console.call("POST", "/gateways", {"name": "before", "cloud": cloud})
            path = f"/gateways/{created['gateway']['id']}"
            await stack.start_installer(created["pairing_code"])
            gateway = await reached(console, path, "pending")
            assert (await pcg(login, "gateway", "inventory", "before"))[0] == 1, "it has no cloud yet"

            # What is too large is found before a machine is made.
            wanted = stack.configuration(1) | {
                "nodes": {"count": 1, "size": {"cpus": 4, "memoryGiB": 1024, "diskGiB": 60}}
            }
            await configure_gateway(console, gateway, wanted, stack.cloud_password)
            async with asyncio.timeout(60):
                while (await console.items(f"{path}/steps"))[2]["last_error"] is None:
                    await asyncio.sleep(0.1)
            step = (await console.items(f"{path}/steps"))[2]
            assert (step["name"], step["last_error"]["reason"]) == ("preflight", "memory-missing")
            assert await console.items(f"{path}/machines") == []

            code, answer = await pcg(login, "preflight", "before")
            assert (code, [check["name"] for check in answer["checks"] if check["ok"] is False]) == (1, ["memory"])
            file = tmp_path / "gateway.yaml"
            file.write_text(yaml.safe_dump(stack.configuration(1)))
            code, answer = await pcg(login, "preflight", "before", "-f", str(file))
            assert (code, [check for check in answer["checks"] if check["ok"] is not True]) == (0, [])

            code, offered = await pcg(login, "gateway", "inventory", "before")
            placement = stack.data_center["placement"]
            assert code == 0
            assert placement["datastore"] in {entry["name"] for entry in offered["datastores"]}
            assert placement["folder"] in {entry["path"] for entry in offered["folders"]}
            assert offered["cut"] == 0

            code, answer = await pcg(login, "ports", "before")
            assert code == 0
            port = login.url.rpartition(":")[2]
            assert ("installer", port) in {(flow["from"], flow["port"]) for flow in answer["flows"]}
    finally:
        await stack.close()
