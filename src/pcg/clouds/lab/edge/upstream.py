"""Where a part of the edge passes on to: an address of this machine, and nothing else. For `relay`, `tls_terminator`
and `edge`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass

from pcg.errors import InvalidInput


@dataclass(frozen=True)
class Upstream:
    """`host` is an address of 127.0.0.0/8 or ::1."""

    host: str
    port: int

    def __post_init__(self) -> None:
        try:
            loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback or not 1 <= self.port <= 65535:
            raise _invalid(f"{self.host}:{self.port}")

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """HOST:PORT, where `localhost` is 127.0.0.1. Raises InvalidInput."""
        host, _, port = text.rpartition(":")
        if not (port.isascii() and port.isdigit() and len(port) < 6):
            raise _invalid(text)
        plain = host.strip("[]")
        return cls("127.0.0.1" if plain == "localhost" else plain, int(port))

    async def connect(self, *, tls_for: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """With `tls_for` by TLS, asking for that host. Raises OSError."""
        if tls_for is None:
            return await asyncio.open_connection(self.host, self.port)
        # Whom the edge itself trusts is not what is looked at here, and it only ever connects to this machine.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return await asyncio.open_connection(self.host, self.port, ssl=context, server_hostname=tls_for)


def _invalid(given: str) -> InvalidInput:
    return InvalidInput(
        f"{given!r} is not HOST:PORT of this machine.",
        reason="edge-upstream",
        field_name="edge-to",
        remedy=["The edge passes on to this machine only: give for example 127.0.0.1:8443."],
    )
