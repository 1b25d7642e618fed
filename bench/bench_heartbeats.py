"""What the heartbeats of 1,000 idle gateways cost the console, against a bare WebSocket echo at the same time.

A real console process. Gateways that are registered and configured hold sessions over TLS at the product's own pace:
every 20 seconds one heartbeat of each side. Beside each session stands a connection to an echo server (the library's
`websockets.serve`, with the console's certificate and settings, in a process of its own) that gets a message of the
same size every 20 seconds and sends it back: both servers receive and send one message for each gateway in a round of
20 seconds. Compared is the CPU time of the two processes; what the console does of itself meanwhile counts as well.
Prints one JSON line; the ratio must be at most 3.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from idle_gateways import Crowd, IdleGateway, enrol, open_store
from pcg.cli.demo_stack import Stack
from pcg.processes.child import Child, start
from pcg.wire import frames

LIMIT = 3.0
GATEWAYS = 1000
ROUNDS = 3
SETTLE_SECONDS = 3.0
AT_ONCE = 8
WARMING = 16
"""gateways that come and go before anything is measured"""


@dataclass(frozen=True)
class Round:
    """CPU seconds of both servers within 20 seconds, and what the clients sent and heard meanwhile."""

    console: float
    echo: float
    seen: Counter[str]

    @property
    def ratio(self) -> float:
        """CPU time for one heartbeat each way, over that for a message and its echo."""
        return (self.console / self.seen["heartbeats"]) / (self.echo / self.seen["messages"])


async def measure(count: int) -> dict[str, Any]:
    stack = Stack(cloud="simulated", speed=1)
    echo: Child | None = None
    try:
        async with open_store(stack.folder / "console") as service:
            gateways = await enrol(service, count)
        await stack.start_console()
        console = stack.parts["console"].child
        assert console is not None
        echo, echo_url = await start_echo(stack.folder / "console")
        ca = (stack.folder / "console" / "ca.pem").read_text()
        async with asyncio.TaskGroup() as group:
            # What is made once, at the first connection, belongs to no gateway.
            warming = Crowd(stack.console_url, echo_url, ca, group)
            await connect(warming, gateways[:WARMING])
            await warming.close()
            await asyncio.sleep(SETTLE_SECONDS)
            empty = resident_bytes(console.pid), resident_bytes(echo.pid)
            crowd = Crowd(stack.console_url, echo_url, ca, group)
            await connect(crowd, gateways)
            await asyncio.sleep(SETTLE_SECONDS)
            rounds = [await one_round(crowd, console.pid, echo.pid) for _ in range(ROUNDS)]
            full = resident_bytes(console.pid), resident_bytes(echo.pid)
            await crowd.close()
    finally:
        if echo is not None:
            await echo.stop()
        await stack.close()
    ratios = [one.ratio for one in rounds]
    return {
        "bench": "heartbeats",
        "gateways": count,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "limit": LIMIT,
        "console_seconds_a_round": round(statistics.median(one.console for one in rounds), 3),
        "echo_seconds_a_round": round(statistics.median(one.echo for one in rounds), 3),
        "resident_bytes_a_gateway": round((full[0] - empty[0]) / count),
        "resident_bytes_an_echo": round((full[1] - empty[1]) / count),
        "seen": dict(sum((one.seen for one in rounds), Counter[str]())),
        "rounds": ROUNDS,
    }


async def connect(crowd: Crowd, gateways: Sequence[IdleGateway]) -> None:
    """Some at a time: the console turns away a crowd of one address that has not proven itself yet."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(gateway: IdleGateway) -> None:
        async with room:
            await crowd.connect(gateway)

    async with asyncio.TaskGroup() as group:
        for gateway in gateways:
            group.create_task(one(gateway))


async def one_round(crowd: Crowd, console: int, echo: int) -> Round:
    """Whoever is connected sends once in it, and is sent to once."""
    seen, before = crowd.seen.copy(), (processor_seconds(console), processor_seconds(echo))
    await asyncio.sleep(frames.HEARTBEAT_SECONDS)
    after = (processor_seconds(console), processor_seconds(echo))
    return Round(after[0] - before[0], after[1] - before[1], crowd.seen - seen)


def processor_seconds(pid: int) -> float:
    """Of the process and all of its threads: its CPU clock, whose number Linux derives from the process's."""
    return time.clock_gettime(~pid << 3 | 2)


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def start_echo(folder: Path) -> tuple[Child, str]:
    """This file again, as a process of its own; its URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def heard(stream: str, line: str) -> None:
        if line.startswith("wss://") and not ready.done():
            ready.set_result(line)
        elif stream == "stderr":
            sys.stderr.write(f"echo: {line}\n")

    child = await start([sys.executable, __file__, "--echo", str(folder)], os.environ, heard)
    return child, await asyncio.wait_for(ready, 30)


async def echo(folder: Path) -> None:
    """Until it is stopped."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(folder / "server.crt", folder / "server.key")

    async def back(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await connection.send(await connection.recv())

    settings: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": frames.MAXIMUM_FRAME_BYTES}
    async with serve(back, "127.0.0.1", 0, ssl=context, **settings) as server:
        print(f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateways", type=int, default=GATEWAYS)
    parser.add_argument("--echo", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        asyncio.run(echo(arguments.echo))
        return
    # Inherited by both servers: each connection is a file, and here are the clients' ends of both.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    result = asyncio.run(measure(arguments.gateways))
    print(json.dumps(result))
    sys.exit(result["ratio"] > LIMIT)


if __name__ == "__main__":
    main()
