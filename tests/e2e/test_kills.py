"""Real processes, real kills: whatever is killed whenever, it finishes, with exactly the wanted machines and events.

A seed decides who is killed when; it is printed when a run fails. Kills are bounded in number and time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway
from pcg.errors import NotFound, PcgError

SPEED = 20.0
KILLS = 6
LIMIT = 90.0

# The vendor simulator keeps its inventory in memory only (a real vCenter does not lose it), so it is never killed.
VICTIMS = {
    "simulated": [("installer",), ("console",), ("data center",), ("installer", "console", "data center")],
    "vsphere": [("installer",), ("console",), ("installer", "console")],
}


class World:
    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.killed: Counter[str] = Counter()

    async def kill_some(self, kills: int, within: float) -> None:
        """That many kills at random moments, each followed by a restart."""
        for _ in range(kills):
            await asyncio.sleep(self.random.uniform(0.05, within / kills))
            names = self.random.choice(VICTIMS[self.stack.cloud])
            for name in names:
                await self.stack.parts[name].kill()
                self.killed[name] += 1
            await self.stack.restart(names)


async def patiently(call: Any, within: float = 30.0) -> Any:
    """The console may be down at this very moment; a person would try again too."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await call()
            except NotFound:
                raise
            except PcgError:
                await asyncio.sleep(0.2)


async def wait_for(console: ConsoleClient, gateway_id: str, true: Any) -> dict[str, Any]:
    gateway: dict[str, Any] = {}
    try:
        async with asyncio.timeout(LIMIT):
            while not (gateway and true(gateway)):
                gateway = dict(await patiently(lambda: console.call("GET", f"/gateways/{gateway_id}")))
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"stuck: {gateway}") from None
    return gateway


def ours(machines: list[dict[str, Any]], gateway_id: str) -> list[dict[str, Any]]:
    return [machine for machine in machines if machine["marks"].get("pcg.gateway") == gateway_id]


@pytest.mark.parametrize(
    "cloud,nodes,seed",
    [
        pytest.param("simulated", 1, 1, marks=pytest.mark.soak),
        ("simulated", 3, 2),
        pytest.param("simulated", 3, 3, marks=pytest.mark.soak),
        pytest.param("vsphere", 1, 4, marks=[pytest.mark.vsphere, pytest.mark.soak]),
        pytest.param("vsphere", 3, 5, marks=pytest.mark.vsphere),
    ],
)
async def test_killed_at_any_moment_it_finishes(tmp_path: Path, cloud: str, nodes: int, seed: int) -> None:
    stack = Stack(cloud=cloud, speed=SPEED, folder=tmp_path / "stack")
    world = World(stack, seed)
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        lab = Lab(stack.data_center)
        strangers = len(await lab.machines())
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "killed", "cloud": cloud})
            gateway_id = created["gateway"]["id"]
            await stack.start_installer(created["pairing_code"])
            gateway = await wait_for(console, gateway_id, lambda gateway: gateway["state"] == "pending")

            await configure_gateway(console, gateway, stack.configuration(nodes), stack.cloud_password)
            await world.kill_some(KILLS, within=10)
            await wait_for(console, gateway_id, lambda gateway: gateway["state"] == "running")
            await exactly(lab, gateway_id, strangers, nodes)

            await patiently(lambda: console.call("POST", f"/gateways/{gateway_id}/reset"))
            await world.kill_some(2, within=2)
            await wait_for(console, gateway_id, lambda gateway: gateway["state"] == "pending" and clean(gateway))
            await exactly(lab, gateway_id, strangers, 0)
            await events_are_whole(console, gateway_id)

            document = stack.configuration(nodes)
            await patiently(lambda: configure_gateway(console, gateway, document, stack.cloud_password))
            await asyncio.sleep(world.random.uniform(0.5, 4))
            await patiently(lambda: console.call("DELETE", f"/gateways/{gateway_id}"))
            await world.kill_some(2, within=2)
            with pytest.raises(NotFound):
                await wait_for(console, gateway_id, lambda gateway: False)
            await exactly(lab, gateway_id, strangers, 0)
            child = stack.parts["installer"].child
            assert child is not None
            async with asyncio.timeout(30):
                assert await child.wait() == 0
            assert not (stack.folder / "gateway" / "keys.json").exists()
    except BaseException:
        print(f"seed {seed}, killed {dict(world.killed)}")
        for log in sorted(stack.folder.glob("*.log")):
            print(log.name, *log.read_text(errors="replace").splitlines()[-20:], sep="\n  ")
        raise
    finally:
        await stack.close()


def clean(gateway: dict[str, Any]) -> bool:
    return "cleaning-up" not in [condition["name"] for condition in gateway["conditions"]]


async def exactly(lab: Lab, gateway_id: str, strangers: int, wanted: int) -> None:
    machines = await lab.machines()
    assert len(ours(machines, gateway_id)) == wanted
    assert len(machines) == strangers + wanted


async def events_are_whole(console: ConsoleClient, gateway_id: str) -> None:
    """Every step was told as done, and nothing twice at the same place."""

    async def read() -> list[dict[str, Any]]:
        return await console.items(f"/gateways/{gateway_id}/events", limit=500)

    events = await patiently(read)
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions))
    assert Counter(event["reason"] for event in events)["GatewayRunning"] >= 1
