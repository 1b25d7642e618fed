"""What registration costs beyond its round trips: from the start of `pcg install` until it says `registered as`.

Real processes on this machine. Between installer and console stands a relay that delays every byte, and what is sent
first on a connection by one round trip more, as its own opening would take on a long line. It counts the round trips
of the delayed starts; the growth of the elapsed time must fit them. The first start only warms the file cache. Prints
one JSON line; what is over the round trips must be at most 1.5 s, without delay and with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.demo_stack import Stack
from pcg.processes.child import start

LIMIT_SECONDS = 1.5
ROUND_TRIP_SECONDS = 0.1
ROUNDS = 9
PATIENCE_SECONDS = 60.0


@dataclass
class Traffic:
    """Of one connection: how often the installer spoke after it had listened, which is a round trip each time."""

    turns: int = 0
    installer_spoke_last: bool = False

    def heard(self, *, from_installer: bool) -> None:
        if from_installer and not self.installer_spoke_last:
            self.turns += 1
        self.installer_spoke_last = from_installer


class Relay:
    """Passes TCP on to the console, `round_trip` seconds there and back."""

    def __init__(self, host: str, port: int) -> None:
        self.round_trip = 0.0
        self.traffic: list[Traffic] = []
        self._target = (host, port)

    @property
    def round_trips(self) -> int:
        """One to open each connection, and its turns. Exact only where the delay keeps answers apart from questions."""
        return sum(1 + connection.turns for connection in self.traffic)

    @property
    def delayed(self) -> int:
        """Of the round trips: the opening of a connection on which nothing is sent cannot be delayed from here."""
        return sum(1 + connection.turns for connection in self.traffic if connection.turns)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """The port at which it listens."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traffic = Traffic()
        self.traffic.append(traffic)
        upstream, downstream = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, downstream, traffic, from_installer=True))
                group.create_task(self._pass_on(upstream, writer, traffic, from_installer=False))
        finally:
            for end in (writer, downstream):
                end.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: Traffic, *, from_installer: bool
    ) -> None:
        """Each piece travels half of a round trip, several at a time."""
        loop, under_way = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def read() -> None:
            # The kernel opens a connection to us without delay: its round trip is made up for before the first bytes.
            wait = self.round_trip / 2 + (self.round_trip if from_installer else 0.0)
            data = b"-"
            while data:
                try:
                    data = await reader.read(65536)
                except ConnectionError:
                    data = b""
                if data:
                    traffic.heard(from_installer=from_installer)
                under_way.put_nowait((loop.time() + wait, data))
                wait = self.round_trip / 2

        async def write() -> None:
            data = b"-"
            while data:
                due, data = await under_way.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                writer.write(data)
            with suppress(OSError):
                writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            group.create_task(write())


@dataclass(frozen=True)
class Registered:
    elapsed: float
    processor: float
    """CPU seconds of the installer and its children, jet's first start among them, until it was stopped"""
    connections: int
    round_trips: int
    delayed: int


async def register(stack: Stack, console: ConsoleClient, relay: Relay, url: str, name: str) -> Registered:
    """One installer with a gateway of its own."""
    created = await console.call("POST", "/gateways", {"name": name, "cloud": "simulated"})
    code, state = stack.folder / f"{name}.code", stack.folder / name
    code.touch(mode=0o600)
    code.write_text(created["pairing_code"])
    command = [str(Path(sys.executable).parent / "pcg"), "install", "--endpoint", url, "--ca-pin", stack.ca_pin]
    command += ["--pairing-code-file", str(code), "--state", str(state), "--name", "bench"]
    lines: list[str] = []
    said: asyncio.Future[tuple[float, int, int, int]] = asyncio.get_running_loop().create_future()

    def heard(stream: str, line: str) -> None:
        lines.append(line)
        if line.startswith("registered as") and not said.done():
            said.set_result((time.perf_counter(), len(relay.traffic), relay.round_trips, relay.delayed))

    relay.traffic.clear()
    used = processor_seconds_of_children()
    started = time.perf_counter()
    installer = await start(command, os.environ, heard)
    ended = asyncio.create_task(installer.wait())
    either: set[asyncio.Future[Any]] = {said, ended}
    try:
        await asyncio.wait(either, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not said.done():
            raise RuntimeError("\n".join(["the installer did not register:", *lines]))
    finally:
        await installer.stop()
        await ended
    at, *counted = said.result()
    await asyncio.to_thread(shutil.rmtree, state)
    return Registered(at - started, processor_seconds_of_children() - used, *counted)


def processor_seconds_of_children() -> float:
    """Of those that have ended and were waited for, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def measure() -> dict[str, Any]:
    stack = Stack(cloud="simulated", speed=1)
    near: list[Registered] = []
    far: list[Registered] = []
    try:
        await stack.start_console()
        host, _, port = stack.console_url.removeprefix("https://").rpartition(":")
        relay = Relay(host, int(port))
        async with open_console(await stack.login()) as console, relay.serving() as relayed:
            url = f"https://{host}:{relayed}"
            await register(stack, console, relay, url, "warm")
            # Alternating, so that a noisy neighbour hits both.
            for number in range(ROUNDS):
                relay.round_trip = 0.0
                near.append(await register(stack, console, relay, url, f"near-{number}"))
                relay.round_trip = ROUND_TRIP_SECONDS
                far.append(await register(stack, console, relay, url, f"far-{number}"))
    finally:
        await stack.close()
    return told(near, far)


def told(near: list[Registered], far: list[Registered]) -> dict[str, Any]:
    over_near = [one.elapsed for one in near]
    over_far = [one.elapsed - one.delayed * ROUND_TRIP_SECONDS for one in far]
    grown = statistics.median(one.elapsed for one in far) - statistics.median(over_near)
    return {
        "bench": "registration",
        "seconds_over_round_trips": round(statistics.median(over_near), 3),
        "spread": [round(min(over_near), 3), round(max(over_near), 3)],
        "limit": LIMIT_SECONDS,
        "round_trips": statistics.median(one.round_trips for one in far),
        "round_trips_delayed": statistics.median(one.delayed for one in far),
        "connections": statistics.median(one.connections for one in far),
        "slope": round(grown / ROUND_TRIP_SECONDS, 2),
        "delayed_seconds_over_round_trips": round(statistics.median(over_far), 3),
        "delay": ROUND_TRIP_SECONDS,
        "processor_seconds": round(statistics.median(one.processor for one in near), 3),
        "rounds": ROUNDS,
    }


def main() -> None:
    result = asyncio.run(measure())
    print(json.dumps(result))
    sys.exit(max(result["seconds_over_round_trips"], result["delayed_seconds_over_round_trips"]) > LIMIT_SECONDS)


if __name__ == "__main__":
    main()
