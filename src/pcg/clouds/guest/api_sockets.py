"""The sockets of a node's API server: the server itself over TLS, somebody else with another certificate, or nobody who
answers. For `api_servers`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pcg.clouds.guest.certificates import Peer, peer_of
from pcg.clouds.lab.edge.listener import Listener as EdgeListener
from pcg.clouds.lab.serving import server_certificate


@dataclass(frozen=True)
class ApiServer:
    """One node's API server. The files hold its serving certificate and key."""

    application: ASGIApp
    ca_pem: str
    certificate: Path
    key: Path


class Unanswered:
    """An address and port at which packets are dropped."""

    def __init__(self, listener: EdgeListener) -> None:
        self._listener = listener

    @classmethod
    async def open(cls, address: str, port: int) -> Unanswered:
        listener = EdgeListener(_nothing)
        listener.open(address, port)
        await listener.leave_unanswered()
        return cls(listener)

    @property
    def dropped(self) -> int:
        return self._listener.unanswered

    def close(self) -> None:
        self._listener.release()


async def _nothing(connection: socket.socket) -> None:
    connection.close()


class Sockets:
    """uvicorn's HTTP protocol on a plain asyncio server: its own `Server` handles signals and ticks all the time."""

    def __init__(self, server: asyncio.Server, state: ServerState) -> None:
        self._server = server
        self._state = state

    @classmethod
    async def open(cls, address: str, port: int, server: ApiServer, tls: ssl.SSLContext) -> Sockets:
        config = Config(server.application, lifespan="off", log_config=None, access_log=False, ws="none")
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        opened = await loop.create_server(
            lambda: _PeerProtocol(config, state, {}, loop),
            address,
            port,
            ssl=tls,
            start_serving=False,
        )
        try:
            await opened.start_serving()
        except BaseException:
            opened.close()  # the plug was pulled just now
            raise
        return cls(opened, state)

    def close(self) -> None:
        self._server.close()
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        for task in list(self._state.tasks):
            task.cancel()


class _PeerProtocol(H11Protocol):
    """Puts the verified client certificate's Peer into every request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.app_state = state_of(peer_of(certificate) if certificate else None)
        super().connection_made(transport)


def state_of(peer: Peer | None) -> dict[str, Any]:
    return {} if peer is None else {"peer": peer}


def server_context(server: ApiServer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(cadata=server.ca_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def other_context(address: str, shown: Callable[[], None]) -> ssl.SSLContext:
    """Of somebody with a certificate of his own; `shown` is called whenever a client gets to see it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="pcg-") as folder:
        context.load_cert_chain(server_certificate(Path(folder), address).file)

    def begun(served: ssl.SSLObject, name: str | None, used: ssl.SSLContext) -> None:
        shown()

    context.sni_callback = begun
    return context
