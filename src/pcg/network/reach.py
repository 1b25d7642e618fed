"""The first hop alone: is there an address for the name, and does its port answer? Nothing is sent.

It tells a name server's trouble, a firewall's and a routing table's apart before TLS or HTTP could blur them. Called by
the installer's bootstrap.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from pcg.network import proxy_failures
from pcg.network.failures import causes, translate
from pcg.network.proxies import Proxies, without_credentials

CONNECT_SECONDS = 10.0
"""for all addresses of a name together"""

MAXIMUM_ADDRESSES = 4


@dataclass(frozen=True)
class Reached:
    """What answered: the proxy where there is one, and else the target itself."""

    name: str
    address: str
    port: int
    proxy: bool

    def __str__(self) -> str:
        where = f"{self.address} port {self.port} answers"
        who = f"the proxy {self.name}" if self.proxy else self.name
        return where if self.name == self.address and not self.proxy else f"{who}: {where}"


async def reach(url: str, proxies: Proxies, *, seconds: float = CONNECT_SECONDS) -> Reached:
    """Resolve and connect to the first hop on the way to `url`. Raises Unreachable (hop name, connect or proxy)."""
    through = proxies.proxy_for(url)
    parts = urlsplit(without_credentials(through) if through else url)
    host, port = parts.hostname or "", parts.port or 443
    tried: list[str] = []
    try:
        address = await _connect(host, port, seconds, tried)
    except OSError as error:  # TimeoutError is one
        failed = (
            proxy_failures.broke(url, through, causes(error)) if through else translate(url, error, otherwise="connect")
        )
        if tried and tried != [host]:
            failed.evidence.append(f"{host} is {', '.join(tried)}")
        raise failed from error
    return Reached(host, address, port, proxy=through is not None)


async def _connect(host: str, port: int, seconds: float, tried: list[str]) -> str:
    """The address that answered; `tried` collects those of the name."""
    async with asyncio.timeout(seconds):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAXIMUM_ADDRESSES]
    tried += addresses
    last: OSError | None = None
    for address in addresses:
        try:
            async with asyncio.timeout(seconds / len(addresses)):
                _, writer = await asyncio.open_connection(address, port)
        except OSError as error:
            last = error
            continue
        writer.transport.abort()  # nothing was sent, so there is nothing to end politely
        return address
    raise last or socket.gaierror(socket.EAI_NONAME, "the name has no address")
