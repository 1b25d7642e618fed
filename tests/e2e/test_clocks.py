"""Clocks that are wrong: a gateway's a day off either way, further off, and jumping while it runs.

Real processes, whose wall clock libfaketime changes; monotonic time is the machine's own, as with any wrong clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.following import reached, told
from e2e.way_in import WayIn, way_in
from pcg.cli.client import open_console
from pcg.cli.demo_stack import Stack
from pcg.cli.gateway_changes import configure_gateway
from pcg.gateway.bootstrap_steps import BootstrapStep

pytestmark = [pytest.mark.faketime, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def way(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WayIn]:
    async with way_in(tmp_path_factory.mktemp("clocks")) as made:
        yield made


def clock(offset: str) -> dict[str, str]:
    """`offset` is libfaketime's: +24h, -2d; or @FILE, which is read again at every look at the clock."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    environment = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    if offset.startswith("@"):
        return environment | {"FAKETIME_TIMESTAMP_FILE": offset[1:]}
    return environment | {"FAKETIME": offset}


@pytest.mark.parametrize(("offset", "words"), [("+24h", "24.0 h ahead of"), ("-24h", "24.0 h behind")])
async def test_a_day_off_either_way_gets_in_and_says_so(way: WayIn, offset: str, words: str) -> None:
    async with way.installer(await way.code(), environment=clock(offset)) as installer:
        await installer.says(f"^note: this machine's clock is {words} the console's: correct it")
        await installer.says("^registered as g-")
        await installer.says("^session with the console is up")


@pytest.mark.parametrize(
    ("offset", "words", "difference"),
    [("-3d", "its certificate is not valid yet", "3 days behind"), ("+400d", "has expired", "400 days ahead of")],
)
async def test_further_off_the_clock_is_named_as_the_cause(
    way: WayIn, offset: str, words: str, difference: str
) -> None:
    async with way.installer(await way.code(), environment=clock(offset)) as installer:
        line = await installer.says("^bootstrap: console-reached: try 2 failed: ")
        assert words in line
        assert f"clock: {difference} the console's" in line
        await installer.says("^  remedy: Set this machine's clock")
        assert sum("correct it" in text for text in installer.lines) == 1


async def test_a_clock_that_jumps_breaks_no_session(way: WayIn, tmp_path: Path) -> None:
    file = tmp_path / "offset"
    file.write_text("+0")
    async with way.installer(await way.code(), environment=clock(f"@{file}")) as installer:
        await installer.says("^session with the console is up")
        await installer.says(f"^bootstrap: {BootstrapStep.MANAGER}: done")
        gateway = (await way.console.gateway(f"g-{way.made}"))["id"]
        for offset in ("+20h", "-20h", "+3h"):
            file.write_text(offset)
            before = len(installer.lines)
            # Made to connect again under the new clock, so that TLS, back-off and the outbox meet it too.
            await way.edge.switch("edge/relay/cut", on=True)
            await way.edge.switch("edge/relay/cut", on=False)
            await installer.says("^session with the console is up", after=before)
        await told(way.console, f"/gateways/{gateway}", "BootstrapStepDone", times=len(BootstrapStep))
        events = await way.console.items(f"/gateways/{gateway}/events", limit=200)
        reasons = [event["reason"] for event in events]
        assert reasons.count("Registered") == 1
        # In the order in which they were made, whatever their own times say.
        steps = [event["fields"]["bootstrap-step"] for event in events if event["reason"] == "BootstrapStepDone"]
        assert steps == [step.value for step in BootstrapStep]
        assert [event["position"] for event in events] == sorted(event["position"] for event in events)


@pytest.mark.parametrize("offset", ["+23h", "-23h"])
async def test_a_whole_cluster_is_built_by_a_gateway_with_a_wrong_clock(tmp_path: Path, offset: str) -> None:
    stack = Stack(cloud="simulated", speed=50, folder=tmp_path / "stack")
    stack.installer_environment = clock(offset)
    try:
        await asyncio.gather(stack.start_console(), stack.start_data_center())
        async with open_console(await stack.login()) as console:
            created = await console.call("POST", "/gateways", {"name": "late", "cloud": "simulated"})
            path = f"/gateways/{created['gateway']['id']}"
            await stack.start_installer(created["pairing_code"])
            gateway = await reached(console, path, "pending")
            await configure_gateway(console, gateway, stack.configuration(1), stack.cloud_password)
            await reached(console, path, "running")
    finally:
        await stack.close()
