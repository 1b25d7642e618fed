"""A console behind a data center's edge, and installers that try to get in: real processes, real names, real TLS.

The console and the edge are one for a whole module of tests; each test gives its installer a gateway of its own.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_stack import Stack
from pcg.clouds.lab.edge.edge import ARTIFACTS, NAME, Edge, Ports

PATIENCE = 60.0


def free_port() -> int:
    """Of one that the console then listens at: the edge must know it before, and the certificate its name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class WayIn:
    """`edge` stands before `stack`'s console."""

    stack: Stack
    edge: Edge
    console: ConsoleClient
    folder: Path
    made: int = 0

    async def code(self) -> str:
        """Of a new gateway."""
        self.made += 1
        answer = await self.console.call("POST", "/gateways", {"name": f"g-{self.made}", "cloud": "simulated"})
        return str(answer["pairing_code"])

    def installer(
        self, code: str, *more: str, plain: bool = False, environment: Mapping[str, str] | None = None
    ) -> Installer:
        """`plain`: with nothing but what `more` gives. `environment`: more than this process's own."""
        state = self.folder / f"state-{len(list(self.folder.glob('state-*')))}"
        arguments = ["--state", str(state)]
        if not plain:
            arguments += ["--endpoint", self.edge.endpoint, "--ca-pin", self.stack.ca_pin]
            arguments += ["--name-servers", self.edge.name_server]
        return Installer([*arguments, *more], code, state, environment or {})


@dataclass
class Installer:
    """A real `pcg install`. `lines` is all that its screen shows."""

    arguments: Sequence[str]
    code: str
    state: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Installer:
        environment = {**os.environ, **self.environment, **({"PCG_PAIRING_CODE": self.code} if self.code else {})}
        self.process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "pcg.cli.main", "install", *self.arguments],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self.process.wait(), 20)
        if self._reading is not None:
            await self._reading

    async def says(self, words: str, *, after: int = 0, patience: float = PATIENCE) -> str:
        """The first line from `after` on that fits the expression. It must come before the process ends."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    for line in self.lines[after:]:
                        if re.search(words, line):
                            return line
                    assert self._reading is not None
                    if self._reading.done():
                        raise AssertionError(f"it ended without saying {words!r}: {self.lines[after:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it never said {words!r}: {self.lines[after:]}") from None

    async def ends(self) -> int:
        assert self.process is not None
        assert self._reading is not None
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self._reading
        return code

    @property
    def told(self) -> str:
        return "\n".join(self.lines)

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))


@asynccontextmanager
async def way_in(
    folder: Path, *, proxy_user: str = "", proxy_password: str = "", mirrored: bool = False
) -> AsyncIterator[WayIn]:
    """`mirrored`: the console's artifacts are fetched from the edge's artifact host."""
    stack = Stack(cloud="simulated", speed=50, folder=folder / "stack")
    port, outer, mirror = free_port(), free_port(), free_port()
    stack.console_url = f"https://127.0.0.1:{port}"
    stack.console_options = ["--public-url", stack.console_url, "--public-url", f"https://{NAME}:{outer}"]
    if mirrored:
        stack.console_options += ["--artifact-mirror", f"https://{ARTIFACTS}:{mirror}"]
    try:
        await stack.start_console()
        login = await stack.login()
        edge = Edge(
            folder / "edge",
            f"127.0.0.1:{port}",
            ca=stack.folder / "console" / "ca.pem",
            proxy_user=proxy_user,
            proxy_password=proxy_password,
            ports=Ports(endpoint=outer, artifacts=mirror),
        )
        await edge.start()
        try:
            async with open_console(login) as console:
                yield WayIn(stack, edge, console, folder)
        finally:
            await edge.stop()
    finally:
        await stack.close()
