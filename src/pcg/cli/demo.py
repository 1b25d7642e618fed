"""`pcg demo`: the main job on this machine, with real processes, until the gateway runs.

The story, in order: console and data center start → a gateway is created → its installer pairs → it is configured → ten
steps → running. With `--break` a fault of the data center is on from the start, until the system itself has found it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.configuration_file import read_document
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import ADMIN_EMAIL, Stack
from pcg.cli.drilling.table import fault_of
from pcg.cli.ending import run_to_the_end
from pcg.cli.gateway_changes import configure_gateway
from pcg.cli.output import plain, progress, show_json
from pcg.errors import PcgError

LIMIT_SECONDS = 180.0
"""after which `--once` gives up with exit code 3; a run takes a quarter of it on two cores"""

NOTICE_SECONDS = 20.0
"""within which jet has started once and ended for want of its token"""

SPEED = 8.0
"""how many times faster than real life the demo's data center is: a critical path of about ten seconds"""


@dataclass(frozen=True)
class Options:
    once: bool
    cloud: str
    vcenter: str | None
    configuration: Path | None
    nodes: int
    scenario: str | None
    speed: float
    limit: float


@click.command()
@click.option("--once", is_flag=True, help="End when it runs, print the result, remove everything.")
@click.option("--cloud", type=click.Choice(["simulated", "vsphere"]), default="simulated", show_default=True)
@click.option("--vcenter", default=None, help="Use this vCenter (with -f; password in PCG_VCENTER_PASSWORD).")
@click.option("-f", "--file", "configuration", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--nodes", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option("--break", "scenario", metavar="SCENARIO/CAUSE", help="Cause this failure; see it found and cured.")
@click.option("--speed", type=float, default=SPEED, show_default=True, help="Of the simulated data center.")
@click.option("--limit", type=float, default=LIMIT_SECONDS, show_default=True, help="Seconds until --once gives up.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def demo(
    once: bool,
    cloud: str,
    vcenter: str | None,
    configuration: Path | None,
    nodes: str,
    scenario: str | None,
    speed: float,
    limit: float,
    output: str,
) -> None:
    """Console, data center, installer and jets as real processes, until the gateway runs."""
    if vcenter and not configuration:
        raise click.UsageError("--vcenter needs -f FILE with placement and template of that vCenter")
    if scenario:
        fault_of(scenario)
    options = Options(once, cloud, vcenter, configuration, int(nodes), scenario, speed, limit)
    result = run_to_the_end(_run(options))
    if once or output == "json":
        if output == "json":
            show_json(result)
        else:
            click.echo(f"{result['gateway']['name']} is {result['gateway']['state']}")
    if once and not _as_asked(result, options):
        raise click.exceptions.Exit(3)


async def _run(options: Options) -> dict[str, Any]:
    stack = Stack(cloud=options.cloud, speed=options.speed)
    try:
        async with _story(stack, options) as (console, result):
            if not options.once:
                await _stay(stack, console, result)
            return result
    finally:
        await stack.close()


@contextlib.asynccontextmanager
async def _story(stack: Stack, options: Options) -> AsyncIterator[tuple[ConsoleClient, dict[str, Any]]]:
    if options.cloud == "vsphere" and not options.vcenter:
        progress("the vendor's simulator is built once; the first time this takes a minute")
    async with asyncio.TaskGroup() as group:
        group.create_task(stack.start_console())
        if not options.vcenter:
            group.create_task(stack.start_data_center())
    progress(f"console ready at {stack.console_url}")
    lab = Lab(stack.data_center) if not options.vcenter else None
    async with open_console(await stack.login()) as console:
        created = await console.call("POST", "/gateways", {"name": "demo", "cloud": options.cloud})
        gateway_id = created["gateway"]["id"]
        progress("pairing code made; the installer starts")
        await stack.start_installer(created["pairing_code"])
        follower = Follower(console, gateway_id)
        async with follower.following():
            await follower.until(lambda: follower.gateway["state"] != "awaiting-registration", options.limit)
            progress(f"registered, fingerprint {follower.gateway['fingerprint']}")
            # A person takes minutes to configure, and meanwhile sees jet's loop and that it is expected.
            with contextlib.suppress(TimeoutError):
                await follower.until(lambda: bool(follower.notices), NOTICE_SECONDS)
            if options.scenario and lab:
                await lab.switch(fault_of(options.scenario), on=True)
                progress(f"fault switched on: {fault_of(options.scenario)}")
            began = time.monotonic()
            await _configure(stack, console, follower.gateway, options)
            recovered = None
            in_time = True
            try:
                if options.scenario and lab:
                    recovered = await _found_and_cured(follower, lab, options)
                await follower.until(lambda: follower.gateway["state"] == "running", options.limit)
            except TimeoutError:
                in_time = False
                progress(f"not running within {options.limit:g} seconds")
            result = await follower.result(time.monotonic() - began)
            result["recovered"] = (recovered and in_time) if options.scenario else None
            yield console, result


async def _configure(stack: Stack, console: ConsoleClient, gateway: dict[str, Any], options: Options) -> None:
    import os

    if options.configuration is None:
        document, password = stack.configuration(options.nodes), stack.cloud_password
    else:
        document = read_document(options.configuration)
        password = os.environ.get("PCG_VCENTER_PASSWORD", "")
        if options.vcenter:
            document.setdefault("vcenter", {})["address"] = options.vcenter
    await configure_gateway(console, gateway, document, password)


async def _found_and_cured(follower: Follower, lab: Lab, options: Options) -> bool:
    """The finding names exactly what was broken; the fault goes off; the finding closes by itself."""
    wanted = options.scenario

    def named() -> bool:
        return any(f"{item['scenario']}/{item['cause']}" == wanted for item in follower.findings)

    await follower.until(named, options.limit)
    for finding in follower.findings:
        progress(f"found: {finding['scenario']}/{finding['cause']}: {finding['summary']}")
        follower.seen_findings.append(finding)
    await lab.switch(fault_of(str(wanted)), on=False)
    progress("fault switched off; nobody presses anything")
    await follower.until(lambda: not named(), options.limit)
    return True


async def _stay(stack: Stack, console: ConsoleClient, result: dict[str, Any]) -> None:
    click.echo(f"\nThe gateway is {result['gateway']['state']}. Look at it in a browser:")
    click.echo(f"  {stack.console_url}")
    click.echo(f"  sign in as {ADMIN_EMAIL} with the password {stack.password}")
    click.echo(f"  (the certificate is signed by the console's own CA: {stack.folder / 'console' / 'ca.pem'})")
    click.echo("Ctrl-C ends everything and removes it.")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


class Follower:
    """What the console tells of one gateway, kept fresh by its event stream; each change may be waited for."""

    def __init__(self, console: ConsoleClient, gateway_id: str) -> None:
        self.gateway: dict[str, Any] = {"state": "awaiting-registration"}
        self.findings: list[dict[str, Any]] = []
        self.seen_findings: list[dict[str, Any]] = []
        self.notices: dict[tuple[str, str], dict[str, Any]] = {}
        self._console = console
        self._path = f"/gateways/{gateway_id}"
        self._id = gateway_id
        self._events = 0
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._follow())
            yield
            task.cancel()

    async def until(self, true: Any, within: float) -> None:
        """Look again at every event, and at least every second. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                self._changed.clear()
                await self._look()
                if true():
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 1.0)

    async def result(self, elapsed: float) -> dict[str, Any]:
        """The object that the contract describes for `pcg demo --once`."""
        await self._look()
        steps = await self._console.items(f"{self._path}/steps")
        machines = await self._console.items(f"{self._path}/machines")
        events = await self._console.items(f"{self._path}/events", limit=500)
        return {
            "gateway": {key: self.gateway[key] for key in ("id", "name", "state")},
            "steps": [{key: step[key] for key in ("name", "state", "seconds")} for step in steps],
            "machines": [{key: machine[key] for key in ("name", "role", "address", "state")} for machine in machines],
            "events": len(events),
            "findings": self.seen_findings or self.findings,
            "notices": list(self.notices.values()),
            "recovered": None,
            "elapsed_seconds": round(elapsed, 2),
        }

    async def _look(self) -> None:
        self.gateway = await self._console.call("GET", self._path)
        found = await self._console.items(f"{self._path}/findings")
        self.findings = [item for item in found if item["severity"] != "info"]
        for item in found:
            if item["severity"] == "info":
                self.notices[item["scenario"], item["cause"]] = item

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(PcgError):
                async for event in self._console.follow_events(self._id, self._events):
                    self._events = event["position"]
                    place = f" [{event['machine']}]" if event.get("machine") else ""
                    progress(f"  {event['reason']}{plain(place)}: {plain(event['message'])}")
                    self._changed.set()
            await asyncio.sleep(0.5)  # the console closed the stream; it may be restarting


def _as_asked(result: dict[str, Any], options: Options) -> bool:
    return result["gateway"]["state"] == "running" and (result["recovered"] is not False)
