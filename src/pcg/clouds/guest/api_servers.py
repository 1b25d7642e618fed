"""Where API servers are reached: a TLS listener on the node's address, or, in simulated time, an address book.

`InProcessTransport` lets any httpx client reach the servers of the book without a socket; TLS's checks (whose
certificate, whose client) are made by it. Used by the nodes, by kubeadm's join, and by tests.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pcg.clouds.guest.certificates import Peer, peer_of, verified_peer


@dataclass(frozen=True)
class ApiServer:
    """One node's API server. The files hold its serving certificate and key."""

    application: ASGIApp
    ca_pem: str
    certificate: Path
    key: Path


class ApiServers:
    """The book: by address and port. `listen` False: no sockets at all."""

    def __init__(self, *, listen: bool) -> None:
        self.listen = listen
        self._book: dict[tuple[str, int], ApiServer] = {}

    async def open(self, address: str, port: int, server: ApiServer) -> Listener:
        """Raises OSError when the address is not this machine's or is taken."""
        if (address, port) in self._book:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        sockets = await _Sockets.open(address, port, server) if self.listen else None
        self._book[address, port] = server
        return Listener(self, (address, port), sockets)

    def find(self, address: str, port: int) -> ApiServer | None:
        return self._book.get((address, port))

    def remove(self, where: tuple[str, int]) -> None:
        self._book.pop(where, None)

    def client(self, *, ca: str | None = None, certificate: str = "", token: str = "") -> httpx.AsyncClient:
        """For a node's own calls. `ca` None: whoever answers is accepted, as kubeadm's discovery does at first."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if not self.listen:
            transport = InProcessTransport(self, ca=ca, certificate=certificate)
            return httpx.AsyncClient(transport=transport, headers=headers, trust_env=False)
        return httpx.AsyncClient(verify=_client_context(ca), headers=headers, trust_env=False, timeout=10.0)


class Listener:
    """One open address. `close` drops its connections too, as pulling the plug does."""

    def __init__(self, servers: ApiServers, where: tuple[str, int], sockets: _Sockets | None) -> None:
        self._servers = servers
        self._where = where
        self._sockets = sockets

    def close(self) -> None:
        self._servers.remove(self._where)
        if self._sockets is not None:
            self._sockets.close()


class InProcessTransport(httpx.AsyncBaseTransport):
    """Routes by the URL's host and port. `ca`: the only CA accepted of a server (None: any). `certificate`: the
    client's own, as PEM; a server whose CA did not sign it refuses it, as in TLS.
    """

    def __init__(self, servers: ApiServers, *, ca: str | None = None, certificate: str = "") -> None:
        self._servers = servers
        self._ca = ca
        self._certificate = certificate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        server = self._servers.find(request.url.host, request.url.port or 443)
        if server is None:
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        if self._ca is not None and self._ca.strip() != server.ca_pem.strip():
            message = (
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate"
            )
            raise httpx.ConnectError(message, request=request)
        peer = verified_peer(self._certificate, server.ca_pem) if self._certificate else None
        if self._certificate and peer is None:
            raise httpx.ReadError("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", request=request)

        async def identified(scope: Scope, receive: Receive, send: Send) -> None:
            await server.application({**scope, "state": _state(peer)}, receive, send)

        return await httpx.ASGITransport(identified).handle_async_request(request)


class _Sockets:
    """uvicorn's HTTP protocol on a plain asyncio server: its own `Server` handles signals and ticks all the time."""

    def __init__(self, server: asyncio.Server, state: ServerState) -> None:
        self._server = server
        self._state = state

    @classmethod
    async def open(cls, address: str, port: int, server: ApiServer) -> _Sockets:
        config = Config(server.application, lifespan="off", log_config=None, access_log=False, ws="none")
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        opened = await loop.create_server(
            lambda: _PeerProtocol(config, state, {}, loop),
            address,
            port,
            ssl=_server_context(server),
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
        self.app_state = _state(peer_of(certificate) if certificate else None)
        super().connection_made(transport)


def _state(peer: Peer | None) -> dict[str, Any]:
    return {} if peer is None else {"peer": peer}


def _server_context(server: ApiServer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(cadata=server.ca_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _client_context(ca: str | None) -> ssl.SSLContext:
    if ca is not None:
        return ssl.create_default_context(cadata=ca)
    # Discovery: the answer is worth nothing until its CA was compared with the pinned hash.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
