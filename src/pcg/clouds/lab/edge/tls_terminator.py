"""What stands before a console and may open TLS: a load balancer, an inspecting firewall. Used by tests, and by drills
through `edge`.

Usually it passes bytes on unopened. Under a fault it opens TLS with a certificate that is wrong in that one way, or
with a right one and spoils what is inside, and speaks TLS onward. Given the console's CA, only `certificate-other-ca`
shows another issuer than clients expect.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from datetime import timedelta
from pathlib import Path

from pcg.clouds.lab.edge.authority import USUAL, Authority
from pcg.clouds.lab.edge.http_head import read_head
from pcg.clouds.lab.edge.listener import Listener
from pcg.clouds.lab.edge.streams import accepted, drop, pipe_both_ways
from pcg.clouds.lab.edge.upstream import Upstream

FAULTS = {
    "certificate-ended": "the certificate ended some days ago",
    "certificate-not-yet-valid": "the certificate begins in some days",
    "certificate-other-host": "the certificate is for another name",
    "certificate-other-ca": "the certificate is issued by the edge's own CA: interception",
    "no-backend": "the certificate is right; each request is answered 503, as behind it nothing runs",
    "drop-upgrade": "the certificate is right; the Upgrade of a request is left out",
}
"""The first certificate of them that is on is shown."""

_COUNTED_LATER = ("drop-upgrade", "no-backend")
"""by what is asked, not by the certificate, which is right"""

_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

_ENDED = -timedelta(days=33)
_TO_BEGIN = timedelta(days=3)
"""more than the day by which our own certificates are dated back"""


class TlsTerminator:
    """`faults` are named as in FAULTS and may be changed at any time; they concern what connects from then on.

    `host` is the right name, or address, for a certificate. `ca` is a file with the key and the certificate of the CA
    that clients trust. Of a connection only the first request can lose its Upgrade, as after it none may follow.
    Raises InvalidInput for a file that cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        upstream: Upstream,
        host: str,
        *,
        ca: Path | None = None,
        other_host: str = "another.edge.test",
    ) -> None:
        self.authority = Authority(folder)
        """issues what is intercepted, and everything when there is no `ca`"""
        self.faults: set[str] = set()
        self.hits: Counter[str] = Counter()
        """how often each fault struck, and `passed`: connections passed on unopened"""
        self._trusted = Authority.of_file(folder, ca) if ca else self.authority
        self._upstream = upstream
        self._host = host
        self._other_host = other_host
        self._listener = Listener(self._serve)

    @property
    def address(self) -> str:
        return self._listener.address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Raises OSError."""
        self._listener.open(host, port)

    async def stop(self) -> None:
        await self._listener.stop()

    async def _serve(self, connection: socket.socket) -> None:
        fault = next((name for name in FAULTS if name in self.faults), None)
        spoils = "drop-upgrade" in self.faults
        client = await accepted(connection, self._context(fault) if fault else None)
        try:
            if fault == "no-backend":
                await self._excuse(client)
                return
            upstream = await self._upstream.connect(tls_for=self._host if fault else None)
            try:
                if fault is None:
                    self.hits["passed"] += 1
                else:
                    head = await read_head(client[0])
                    if spoils and head.value("upgrade"):
                        self.hits["drop-upgrade"] += 1
                        head = head.without("upgrade", "connection")
                    upstream[1].write(head.encode())
                await pipe_both_ways(client, upstream)
            finally:
                await drop(upstream[1])
        finally:
            await drop(client[1])

    async def _excuse(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        await read_head(client[0])
        self.hits["no-backend"] += 1
        client[1].write(_UNAVAILABLE)
        await client[1].drain()

    def _context(self, fault: str) -> ssl.SSLContext:
        authority = self.authority if fault == "certificate-other-ca" else self._trusted
        host = self._other_host if fault == "certificate-other-host" else self._host
        since = {"certificate-ended": _ENDED, "certificate-not-yet-valid": _TO_BEGIN}.get(fault, USUAL)
        context = authority.server_context(host, since)

        def shown(served: ssl.SSLObject, name: str | None, used: ssl.SSLContext) -> None:
            # Called when a client has begun TLS: from then on it gets to see the certificate. Who only knocks does not.
            if fault not in _COUNTED_LATER:
                self.hits[fault] += 1

        context.sni_callback = shown
        return context
