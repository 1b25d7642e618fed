"""What stands behind the edge in its tests: a server of WebSocket and HTTPS with a console's own certificates."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import websockets

from doubles.serving import all_gone
from pcg.clouds.lab.edge.upstream import Upstream
from pcg.console.certificates import Certificates, open_certificates

NAME = "console.edge.test"
ANSWERS = {"/plain": "plain\n", "/gateway/v1/artifacts/file": "the bytes of a file\n"}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """The console's own, as it makes them."""
    return open_certificates(tmp_path / "console", [NAME, "127.0.0.1"], datetime.now(UTC))


@pytest.fixture
async def upstream(certificates: Certificates) -> AsyncIterator[Upstream]:
    async def hello(connection: Any) -> None:
        await connection.send("hello")

    def plain(connection: Any, request: Any) -> Any:
        return connection.respond(200, ANSWERS[request.path]) if request.path in ANSWERS else None

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    async with websockets.serve(hello, "127.0.0.1", 0, ssl=context, process_request=plain) as running:
        yield Upstream("127.0.0.1", running.sockets[0].getsockname()[1])
    await all_gone(running.server)


def trusting(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context
