"""A gateway that is deleted while it is away: the console says what stays, and the gateway, once back, removes it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pcg.cli.client import open_console
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway

from .following import reached

SPEED = 20.0


async def test_it_says_what_stays_and_the_gateway_cleans_up_when_it_is_back(tmp_path: Path) -> None:
    stack = Stack(cloud="simulated", speed=SPEED, folder=tmp_path / "stack")
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        lab = Lab(stack.data_center)
        others = {machine["id"] for machine in await lab.machines()}
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "away", "cloud": "simulated"})
            path = f"/gateways/{created['gateway']['id']}"
            await stack.start_installer(created["pairing_code"])
            gateway = await reached(console, path, "pending")
            await configure_gateway(console, gateway, stack.configuration(1), stack.cloud_password)
            await reached(console, path, "running")
            await stack.parts["installer"].kill()

            answer = await console.call("DELETE", f"{path}?force=true")
            (stays,) = answer["remaining"]
            (machine,) = [machine for machine in await lab.machines() if machine["id"] not in others]
            assert stays["name"] == machine["name"]
            assert await console.items("/gateways") == []

            await stack.restart(["installer"])
            child = stack.parts["installer"].child
            assert child is not None
            async with asyncio.timeout(30):
                assert await child.wait() == 0
            assert {machine["id"] for machine in await lab.machines()} == others
            assert not (stack.folder / "gateway" / "keys.json").exists()
    finally:
        await stack.close()
