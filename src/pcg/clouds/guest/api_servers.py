"""Where API servers are reached: a TLS listener on the node's address, or, in simulated time, an address book.

`InProcessTransport` lets any httpx client reach the servers of the book without a socket; TLS's checks (whose
certificate, whose client) are made by it. Used by the nodes, by kubeadm's join, and by tests.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pcg.clouds.guest.certificates import Peer, peer_of, verified_peer
from pcg.clouds.guest.surroundings import Surroundings
from pcg.clouds.lab.edge.listener import Listener as EdgeListener
from pcg.clouds.lab.serving import server_certificate

API_PORT = 6443


@dataclass(frozen=True)
class ApiServer:
    """One node's API server. The files hold its serving certificate and key."""

    application: ASGIApp
    ca_pem: str
    certificate: Path
    key: Path


class Answer(StrEnum):
    """What whoever connects to an address and port meets."""

    OWN = "own"
    """the server itself"""
    OTHER = "other"
    """somebody with another certificate"""
    REFUSED = "refused"
    NONE = "none"
    """packets are dropped"""


@dataclass
class _Entry:
    server: ApiServer
    announced: bool
    meets: Answer = Answer.REFUSED
    sockets: _Sockets | Unanswered | None = None


class ApiServers:
    """The book: by address and port. `listen` False: no sockets at all."""

    def __init__(self, *, listen: bool, surroundings: Surroundings | None = None) -> None:
        self.listen = listen
        self.surroundings = surroundings or Surroundings()
        self._book: dict[tuple[str, int], _Entry] = {}
        self._settling = asyncio.Lock()

    async def open(self, address: str, port: int, server: ApiServer, *, announced: bool = False) -> Listener:
        """`announced`: an address that is not the machine's own. Raises OSError when it is not to be had."""
        if (address, port) in self._book:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        entry = _Entry(server, announced)
        self._book[address, port] = entry
        try:
            await self._settle((address, port), entry)
        except BaseException:
            self.remove((address, port))
            raise
        return Listener(self, (address, port))

    async def follow(self) -> NoReturn:
        """Let every listener be what its surroundings make of it, whenever they change."""
        while True:
            changed = self.surroundings.next_change
            for where, entry in list(self._book.items()):
                if self._book.get(where) is entry:
                    await self._settle(where, entry)
            await changed.wait()

    def find(self, address: str, port: int) -> ApiServer | None:
        entry = self._book.get((address, port))
        return entry.server if entry else None

    def answer(self, address: str, port: int) -> Answer:
        """What is met there now."""
        entry = self._book.get((address, port))
        around = self.surroundings
        announced = entry is not None and entry.announced
        if not around.well("routed") or around.met_at("closed_ports", port):
            return Answer.NONE
        if announced and not around.well("announcements"):
            return Answer.NONE
        if entry is None or (port == API_PORT and not around.api_servers_run):
            return Answer.REFUSED
        return Answer.OTHER if around.met_at("intercepted_ports", port) else Answer.OWN

    def remove(self, where: tuple[str, int]) -> None:
        entry = self._book.pop(where, None)
        if entry is not None and entry.sockets is not None:
            entry.sockets.close()

    def client(self, *, ca: str | None = None, certificate: str = "", token: str = "") -> httpx.AsyncClient:
        """For a node's own calls. `ca` None: whoever answers is accepted, as kubeadm's discovery does at first."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if not self.listen:
            transport = InProcessTransport(self, ca=ca, certificate=certificate)
            return httpx.AsyncClient(transport=transport, headers=headers, trust_env=False)
        return httpx.AsyncClient(verify=_client_context(ca), headers=headers, trust_env=False, timeout=10.0)

    async def _settle(self, where: tuple[str, int], entry: _Entry) -> None:
        async with self._settling:
            wanted = self.answer(*where)
            if not self.listen or entry.meets is wanted:
                entry.meets = wanted
                return
            if entry.sockets is not None:
                entry.sockets.close()
                entry.sockets = None
            if wanted is Answer.NONE:
                entry.sockets = await Unanswered.open(*where)
            elif wanted is not Answer.REFUSED:
                entry.sockets = await _Sockets.open(*where, entry.server, other=wanted is Answer.OTHER)
            entry.meets = wanted
            if entry.sockets is not None and self._book.get(where) is not entry:
                entry.sockets.close()  # the plug was pulled meanwhile


class Listener:
    """One open address. `close` drops its connections too, as pulling the plug does."""

    def __init__(self, servers: ApiServers, where: tuple[str, int]) -> None:
        self._servers = servers
        self._where = where

    def close(self) -> None:
        self._servers.remove(self._where)


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

    def close(self) -> None:
        self._listener.release()


async def _nothing(connection: socket.socket) -> None:
    connection.close()


class InProcessTransport(httpx.AsyncBaseTransport):
    """Routes by the URL's host and port. `ca`: the only CA accepted of a server (None: any). `certificate`: the
    client's own, as PEM; a server whose CA did not sign it refuses it, as in TLS.
    """

    def __init__(self, servers: ApiServers, *, ca: str | None = None, certificate: str = "") -> None:
        self._servers = servers
        self._ca = ca
        self._certificate = certificate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        where = (request.url.host, request.url.port or 443)
        server, answer = self._servers.find(*where), self._servers.answer(*where)
        if answer is Answer.NONE:
            raise httpx.ConnectTimeout("", request=request)
        if server is None or answer is Answer.REFUSED:
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        if self._ca is not None and (answer is Answer.OTHER or self._ca.strip() != server.ca_pem.strip()):
            message = (
                "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate"
            )
            raise httpx.ConnectError(message, request=request) from ssl.SSLCertVerificationError(1, message)
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
    async def open(cls, address: str, port: int, server: ApiServer, *, other: bool) -> _Sockets:
        config = Config(server.application, lifespan="off", log_config=None, access_log=False, ws="none")
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        opened = await loop.create_server(
            lambda: _PeerProtocol(config, state, {}, loop),
            address,
            port,
            ssl=_other_context(address) if other else _server_context(server),
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


def _other_context(address: str) -> ssl.SSLContext:
    """Of somebody with a certificate of his own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="pcg-") as folder:
        context.load_cert_chain(server_certificate(Path(folder), address).file)
    return context


def _client_context(ca: str | None) -> ssl.SSLContext:
    if ca is not None:
        return ssl.create_default_context(cadata=ca)
    # Discovery: the answer is worth nothing until its CA was compared with the pinned hash.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
