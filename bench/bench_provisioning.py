"""How much of a provisioning is ours: elapsed to `running` over the critical path in the cloud's own task log.

Real processes on this machine. The critical path is the longest chain of tasks each of which began when an earlier one
had ended; it lies at ten seconds or less. Also measured: bulk reads of a pass with nothing to do, and the
gateway's resident memory. Prints one JSON line for each number of nodes; the ratio must be at most 1.15.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from pcg.cli.client import open_console
from pcg.cli.demo import Follower
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway

LIMIT = 1.15
MEMORY_LIMIT_MIB = 80
SPEEDS = {"simulated": 9.0, "vsphere": 7.7}


def critical_path(tasks: list[dict[str, Any]]) -> float:
    """Seconds of work on the chain that ends last: from each task back to the latest one that ended before it began."""
    spans = sorted((float(task["finished"]), float(task["started"])) for task in tasks if task["finished"] is not None)
    total, before = 0.0, float("inf")
    for finished, started in reversed(spans):
        if finished <= before:
            total += finished - started
            before = started
    return total


def is_the_clouds(task: dict[str, Any], since: float) -> bool:
    """Begun by what was asked, and not jet's own start, which is ours to make quick. One monotonic clock for all."""
    return float(task["started"]) >= since and task["kind"] != "guest: container jet"


async def measure(cloud: str, nodes: int, speed: float) -> dict[str, Any]:
    stack = Stack(cloud=cloud, speed=speed)
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        lab = Lab(stack.data_center)
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "bench", "cloud": cloud})
            await stack.start_installer(created["pairing_code"])
            follower = Follower(console, created["gateway"]["id"])
            async with follower.following():
                # Not while processes still start: a person takes minutes to configure.
                await follower.until(lambda: follower.gateway["state"] == "pending" and bool(follower.notices), 60)
                started = time.monotonic()
                await configure_gateway(console, follower.gateway, stack.configuration(nodes), stack.cloud_password)
                await follower.until(lambda: follower.gateway["state"] == "running", 180)
                elapsed = time.monotonic() - started
            tasks = [task for task in await lab.task_log() if is_the_clouds(task, started)]
            idle = await idle_reads(lab)
            child = stack.parts["installer"].child
            assert child is not None
            resident = resident_mib(child.pid)
        path = critical_path(tasks)
        return {
            "bench": "provisioning",
            "cloud": cloud,
            "nodes": nodes,
            "elapsed": round(elapsed, 2),
            "critical_path": round(path, 2),
            "ratio": round(elapsed / path, 3),
            "limit": LIMIT,
            "bulk_reads_of_an_idle_pass": idle,
            "gateway_resident_mib": resident,
        }
    finally:
        await stack.close()


async def idle_reads(lab: Lab) -> dict[str, int]:
    """Calls that one change of ours causes while nothing is to be done."""
    await asyncio.sleep(2)
    before = await lab.counters()
    await lab.touch()
    await asyncio.sleep(2)
    after = await lab.counters()
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError("no VmRSS")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cloud", default="simulated")
    parser.add_argument("--speed", type=float, help="default: a critical path just below ten seconds for three nodes")
    arguments = parser.parse_args()
    speed = arguments.speed or SPEEDS[arguments.cloud]
    worst = 0.0
    for nodes in (1, 3):
        result = asyncio.run(measure(arguments.cloud, nodes, speed))
        print(json.dumps(result), flush=True)
        worst = max(worst, result["ratio"] / LIMIT, result["gateway_resident_mib"] / MEMORY_LIMIT_MIB)
    sys.exit(worst > 1)


if __name__ == "__main__":
    main()
