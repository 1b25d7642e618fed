"""What people do to a running gateway's machines by hand is put right, and what is theirs is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway

from .following import LIMIT, reached, told

SPEED = 20.0
DRIFTS = ("MachineCopied", "MachineReconfiguredOutside", "MachinePoweredOffOutside", "MachineDeletedOutside")


async def found(console: ConsoleClient, path: str, causes: set[str]) -> None:
    """Once exactly these causes of machine-drifted are open."""
    async with asyncio.timeout(LIMIT):
        now: set[str] | None = None
        while now != causes:
            findings = await console.items(f"{path}/findings")
            now = {finding["cause"] for finding in findings if finding["scenario"] == "machine-drifted"}
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("cloud", ["simulated", pytest.param("vsphere", marks=pytest.mark.vsphere)])
async def test_deleted_switched_off_and_copied_by_hand(tmp_path: Path, cloud: str) -> None:
    stack = Stack(cloud=cloud, speed=SPEED, folder=tmp_path / "stack")
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        lab = Lab(stack.data_center)
        others = {machine["id"] for machine in await lab.machines()}
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "by-hand", "cloud": cloud})
            path = f"/gateways/{created['gateway']['id']}"
            await stack.start_installer(created["pairing_code"])
            gateway = await reached(console, path, "pending")
            await configure_gateway(console, gateway, stack.configuration(3), stack.cloud_password)
            await reached(console, path, "running")

            first, second, third = [machine["id"] for machine in await lab.machines() if machine["id"] not in others]
            copy = await lab.copy(first)
            await lab.reconfigure(first, 2, 8)
            await lab.power_off(second)
            await lab.remove(third)
            for reason in (*DRIFTS, "NodeRemoved"):
                await told(console, path, reason)
            await reached(console, path, "running")
            for event in await console.items(f"{path}/events", limit=500):
                if event["reason"] in DRIFTS:
                    assert event["fields"]["account"].lower() == "administrator@vsphere.local"
            # What is mended is no finding any more; what only a person may mend is.
            await found(console, path, {"machine-copied", "reconfigured-outside"})
            now = {machine["id"]: machine for machine in await lab.machines()}
            ours = now.keys() - others - {copy}
            assert {first, second} < ours
            assert len(ours) == 3
            assert {now[machine]["power"] for machine in ours} == {"on"}

            await console.call("DELETE", path)
            child = stack.parts["installer"].child
            assert child is not None
            async with asyncio.timeout(LIMIT):
                assert await child.wait() == 0
            assert {machine["id"] for machine in await lab.machines()} == others | {copy}
    finally:
        await stack.close()
