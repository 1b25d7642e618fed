"""The processes of one drill: a data center and an installer of its own, before a console that several drills share.

Here is also what a person would see of it: the installer's screen, what the machine found on itself, and the console.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_faults import Lab
from pcg.cli.demo_stack import Stack
from pcg.cli.drilling.drill import Change, Drill, Given, Stage, Way
from pcg.cli.gateway_changes import configure_gateway
from pcg.clouds.lab.edge.edge import NAME
from pcg.clouds.lab.edge.process import PORTS
from pcg.gateway.own_findings import read_findings
from pcg.model.address_plan import needed_addresses
from pcg.model.records import Finding
from pcg.model.states import StepName

LOOK_SECONDS = 0.2
"""between two looks at what the machine found on itself, a file"""

ASK_SECONDS = 1.0
"""between two questions to the console where nothing new is found: asked at each look, it was a fifth of all work"""

_UNDER_WAY = ("running", "blocked", "failed", "done")

Key = tuple[str, str]
"""scenario, cause"""


@dataclass(frozen=True)
class SharedConsole:
    """One console, its folder, and who is signed in to it."""

    stack: Stack
    client: ConsoleClient

    @property
    def url(self) -> str:
        return self.stack.console_url


@asynccontextmanager
async def running_console(folder: Path, options: Sequence[str] = ()) -> AsyncIterator[SharedConsole]:
    """By its own address, and by the name that every data center's edge gives it. `options`: more of its command."""
    stack = Stack(cloud="simulated", speed=1, folder=folder)
    try:
        # The certificate bears the URL, so the port must be known before.
        stack.console_url = f"https://127.0.0.1:{_free_port()}"
        stack.console_options = ["--public-url", stack.console_url, "--public-url", f"https://{NAME}:{PORTS.endpoint}"]
        stack.console_options += options
        await stack.start_console()
        async with open_console(await stack.login()) as client:
            yield SharedConsole(stack, client)
    finally:
        await stack.close()


@dataclass
class Scene:
    """`given` is what the installer gets when it is started next."""

    drill: Drill
    stack: Stack
    console: ConsoleClient
    gateway_id: str
    code: str
    given: Given = field(default_factory=Given)
    screen: list[str] = field(default_factory=list)
    """every line that the installers printed"""
    change: Change | None = None
    """of the configuration, beside the drill's own"""
    gateway: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    """name: state"""
    present: dict[Key, str] = field(default_factory=dict)
    """what is found now: its severity"""
    seen: dict[Key, str] = field(default_factory=dict)
    """what was found at any moment since `forget_seen`"""
    _before: frozenset[Key] = frozenset()
    _told: dict[Key, str] = field(default_factory=dict)
    """what the console told last"""
    _own: dict[Key, str] = field(default_factory=dict)
    """what the machine had found when the console was asked last"""
    _asked: float = -ASK_SECONDS

    @property
    def lab(self) -> Lab:
        return Lab(self.stack.data_center)

    @property
    def state(self) -> Path:
        """The installer's."""
        return self.stack.folder / "gateway"

    @property
    def edge(self) -> dict[str, str]:
        """Addresses of the data center's edge."""
        addresses: dict[str, str] = self.stack.data_center["edge"]
        return addresses

    async def start_installer(self) -> None:
        options = [*self._way(), *self.drill.options, *self.given.options]
        self.stack.installer_options = list(self.given.options) if self.given.bare else options
        self.stack.endpoint = self.given.endpoint or self._endpoint()
        code = self.code if self.given.code is None else self.given.code
        await self.stack.start_installer(code or None, bare=self.given.bare)

    async def give(self, given: Given) -> None:
        """Start the installer again, with the same state, and this."""
        await self.stack.parts["installer"].stop()
        self.given = given
        await self.start_installer()

    async def configure(self) -> None:
        document = self.stack.configuration(self.drill.nodes)
        for change in (self.drill.change, self.change):
            if change is not None:
                change(self, document)
        await configure_gateway(self.console, self.gateway, document, self.stack.cloud_password)

    async def console_counted(self, metric: str, *labels: str) -> int:
        """The console's own counter: the sum of the metric's series that bear all these labels (`name="value"`)."""
        lines = (await self.console.metrics()).splitlines()
        series = [line for line in lines if line.startswith(metric) and all(label in line for label in labels)]
        return sum(int(float(line.rpartition(" ")[2])) for line in series)

    @property
    def shared_address(self) -> str:
        """Kept free in the data center's network for a cluster's API server."""
        return str(self.stack.data_center["control_plane_address"])

    def pool(self, first: int) -> list[str]:
        """As many addresses as one node needs, from that last octet on; the DHCP server gives those up to 199."""
        network = self.shared_address.rpartition(".")[0]
        return [f"{network}.{number}" for number in range(first, first + needed_addresses(1))]

    async def failures(self) -> list[str]:
        """What the gateway has told of its steps that failed."""
        events = await self.console.items(f"/gateways/{self.gateway_id}/events")
        return [str(event["message"]) for event in events if event["reason"] == "StepFailed"]

    async def cut(self) -> None:
        """Break what goes through the edge."""
        for on in (True, False):
            await self.lab.switch("edge/relay/cut", on=on)

    async def until(self, true: Callable[[], bool], within: float) -> bool:
        """Look again and again; whether it came true in time (seconds)."""
        try:
            async with asyncio.timeout(within):
                await self._ask()
                while True:
                    await self._look()
                    if true():
                        return True
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False

    def under_way(self, stage: Stage | StepName) -> bool:
        """A step is at work, or past; for all else as `reached`."""
        return self.steps.get(stage) in _UNDER_WAY if isinstance(stage, StepName) else self.reached(stage)

    def reached(self, stage: Stage | StepName) -> bool:
        if isinstance(stage, StepName):
            return self.steps.get(stage) == "done"
        state = self.gateway.get("state", "awaiting-registration")
        if stage is Stage.RUNNING:
            return bool(state == "running")
        away = any(item["name"] == "disconnected" for item in self.gateway.get("conditions", []))
        return stage is Stage.START or (state != "awaiting-registration" and not away)

    def forget_seen(self) -> None:
        """What was found up to now does not belong to the drill."""
        self.seen.clear()
        self._before = frozenset(closed.finding.key for closed in read_findings(self.state).closed)

    async def _look(self) -> None:
        own = read_findings(self.state)
        found = _by_key(own.findings)
        if found != self._own or time.monotonic() - self._asked >= ASK_SECONDS:
            self._own = found
            await self._ask()
        self.present = self._told | found
        over = [closed.finding for closed in own.closed if closed.finding.key not in self._before]
        self.seen |= _by_key(over) | self.present

    async def _ask(self) -> None:
        path = f"/gateways/{self.gateway_id}"
        self.gateway = await self.console.call("GET", path)
        if self.drill.looks_at_steps:
            self.steps = {step["name"]: step["state"] for step in await self.console.items(f"{path}/steps")}
        told = await self.console.items(f"{path}/findings")
        self._told = {(item["scenario"], item["cause"]): str(item["severity"]) for item in told}
        self._asked = time.monotonic()

    def _endpoint(self) -> str:
        return "" if self.drill.way is Way.DIRECT else self.edge["endpoint"]

    def _way(self) -> list[str]:
        if self.drill.way is Way.DIRECT:
            return []
        names = ["--name-servers", self.edge["name_server"]]
        return names if self.drill.way is Way.EDGE else [*names, "--https-proxy", self.edge["proxy"]]


def with_shared_address(scene: Scene, document: dict[str, Any]) -> None:
    """A change of the configuration: the API server has an address of its own, also before one node."""
    document["network"]["controlPlaneAddress"] = scene.shared_address


@asynccontextmanager
async def open_scene(
    drill: Drill, shared: SharedConsole, folder: Path, speed: float, logs: Path | None
) -> AsyncIterator[Scene]:
    """Everything in `folder` is gone afterwards; a copy of what the parts logged is left in `logs`."""
    async with AsyncExitStack() as opened:
        if drill.console:
            shared = await opened.enter_async_context(running_console(folder.with_suffix(".console"), drill.console))
        screen: list[str] = []
        stack = Stack(
            cloud=drill.cloud,
            speed=speed,
            folder=folder,
            on_line=lambda part, line: screen.append(line) if part == "installer" else None,
        )
        opened.push_async_callback(_close, stack, logs)
        stack.console_url, stack.ca_pin, stack.jet_speed = shared.url, shared.stack.ca_pin, drill.jet_speed
        stack.installer_environment = dict(drill.environment)
        if drill.way is not Way.DIRECT:
            ca = shared.stack.folder / "console" / "ca.pem"
            stack.data_center_options = ["--edge-to", shared.url.removeprefix("https://"), "--edge-ca", str(ca)]
        if drill.configures or drill.way is not Way.DIRECT:
            await stack.start_data_center()
        # A neutral name: machines bear it, and no simulated part may learn what is played.
        wanted = {"name": f"drill-{folder.name}", "cloud": drill.cloud}
        created = await shared.client.call("POST", "/gateways", wanted)
        yield Scene(drill, stack, shared.client, created["gateway"]["id"], created["pairing_code"], screen=screen)


async def _close(stack: Stack, logs: Path | None) -> None:
    try:
        for part in stack.parts.values():
            await part.stop()
        if logs is not None:
            await asyncio.to_thread(_copy, stack.folder, logs)
    finally:
        await stack.close()


def _copy(folder: Path, logs: Path) -> None:
    """What every process printed, and the log files of the simulated machines; nothing secret is among them."""
    for file in (*folder.glob("*.log"), *folder.glob("data-center/**/*.log"), folder / "gateway" / "findings.json"):
        if file.is_file():
            target = logs / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _by_key(findings: list[Finding]) -> dict[Key, str]:
    return {finding.key: str(finding.severity) for finding in findings}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
