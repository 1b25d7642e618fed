"""Machines of other people on the nodes' network: they have addresses that were meant for ours. Played by drills."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pcg.cli.drilling.drill import Change
from pcg.cli.drilling.scene import Scene

PORT = 10250
"""something that a machine may well have open"""


@dataclass
class AddressTaken:
    """Somebody has these addresses already. A hit: somebody connected to one of them."""

    addresses: Callable[[Scene], Sequence[str]]
    instead: Change | None = None
    """of the configuration: other addresses, since those that were found taken are not asked for again at once"""
    _servers: list[asyncio.Server] = field(default_factory=list)
    _met: int = 0

    async def on(self, scene: Scene) -> None:
        for address in self.addresses(scene):
            self._servers.append(await asyncio.start_server(self._meet, address, PORT))

    async def off(self, scene: Scene) -> None:
        while self._servers:
            self._servers.pop().close()
        if self.instead is not None:
            scene.change = self.instead
            await scene.configure()

    async def hits(self, scene: Scene) -> int:
        return self._met

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._met += 1
        writer.close()
