"""The edge as a piece of a data center's process, the same for both simulated clouds: started with it, at addresses of
the data center's own block, which a restart does not change. Called by `simulated.server` and `vsphere.simulator`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pcg.clouds.lab.addresses import AddressBlock
from pcg.clouds.lab.edge.edge import Edge, Ports
from pcg.errors import SetupMissing

PORTS = Ports(endpoint=8443, name_server=5300, proxy=3128, artifacts=8444)


@dataclass(frozen=True)
class EdgeSettings:
    """`console` is HOST:PORT, on this machine; `ca` the file with the key and certificate of its CA."""

    console: str
    ca: Path | None = None


@asynccontextmanager
async def running_edge(settings: EdgeSettings | None, state: Path, block: AddressBlock) -> AsyncIterator[Edge | None]:
    """None without settings. Raises InvalidInput for settings that cannot be used, SetupMissing for addresses that
    cannot be had.
    """
    if settings is None:
        yield None
        return
    edge = Edge(state / "edge", settings.console, ca=settings.ca, host=block.edge, ports=PORTS)
    try:
        await edge.start()
    except OSError as error:
        raise SetupMissing(
            f"The edge cannot listen at {block.edge}: {error.strerror or error}.",
            reason="addresses-in-use",
            evidence=[f"ports: {PORTS.endpoint}, {PORTS.name_server}, {PORTS.proxy}, {PORTS.artifacts}"],
            remedy=["End the process that uses these addresses, or choose another --state."],
        ) from error
    try:
        yield edge
    finally:
        await edge.stop()
