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
from enum import StrEnum
from typing import NoReturn

import httpx
from starlette.types import Receive, Scope, Send

from pcg.clouds.guest.api_sockets import ApiServer, Sockets, Unanswered, other_context, server_context, state_of
from pcg.clouds.guest.certificates import verified_peer
from pcg.clouds.guest.surroundings import Surroundings

API_PORT = 6443


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
    because: str = ""
    """of which of the surroundings; empty: of none"""
    sockets: Sockets | Unanswered | None = None


class ApiServers:
    """The book: by address and port. `listen` False: no sockets at all."""

    def __init__(self, *, listen: bool, surroundings: Surroundings | None = None) -> None:
        self.listen = listen
        self.surroundings = surroundings or Surroundings()
        self._book: dict[tuple[str, int], _Entry] = {}
        self._settling = asyncio.Lock()
        self.surroundings.counters.append(self._dropped)

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
        """What is met there now, by one who comes."""
        answer, because = self._met_at(address, port)
        if because:
            self.surroundings.meet(because)
        return answer

    def remove(self, where: tuple[str, int]) -> None:
        entry = self._book.pop(where, None)
        if entry is not None:
            self._close(entry)

    def client(self, *, ca: str | None = None, certificate: str = "", token: str = "") -> httpx.AsyncClient:
        """For a node's own calls. `ca` None: whoever answers is accepted, as kubeadm's discovery does at first."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if not self.listen:
            transport = InProcessTransport(self, ca=ca, certificate=certificate)
            return httpx.AsyncClient(transport=transport, headers=headers, trust_env=False)
        return httpx.AsyncClient(verify=_client_context(ca), headers=headers, trust_env=False, timeout=10.0)

    def _met_at(self, address: str, port: int) -> tuple[Answer, str]:
        """With what of the surroundings makes it so; empty: nothing does."""
        entry = self._book.get((address, port))
        around = self.surroundings
        if not around.routed:
            return Answer.NONE, "routed"
        if port in around.closed_ports:
            return Answer.NONE, "closed_ports"
        if entry is not None and entry.announced and not around.announcements:
            return Answer.NONE, "announcements"
        if entry is None or (port == API_PORT and not around.api_servers_run):
            return Answer.REFUSED, ""
        return (Answer.OTHER, "intercepted_ports") if port in around.intercepted_ports else (Answer.OWN, "")

    async def _settle(self, where: tuple[str, int], entry: _Entry) -> None:
        async with self._settling:
            wanted, because = self._met_at(*where)
            if not self.listen or (entry.meets, entry.because) == (wanted, because):
                entry.meets, entry.because = wanted, because
                return
            self._close(entry)
            if wanted is Answer.NONE:
                entry.sockets = await Unanswered.open(*where)
            elif wanted is Answer.OTHER:
                entry.sockets = await Sockets.open(*where, entry.server, other_context(where[0], self._intercepted))
            elif wanted is Answer.OWN:
                entry.sockets = await Sockets.open(*where, entry.server, server_context(entry.server))
            entry.meets, entry.because = wanted, because
            if self._book.get(where) is not entry:
                self._close(entry)  # the plug was pulled meanwhile

    def _close(self, entry: _Entry) -> None:
        if isinstance(entry.sockets, Unanswered):
            self.surroundings.meet(entry.because, entry.sockets.dropped)
        if entry.sockets is not None:
            entry.sockets.close()
            entry.sockets = None

    def _dropped(self, name: str) -> int:
        """Packets, at present."""
        dropping = [entry.sockets for entry in self._book.values() if entry.because == name]
        return sum(sockets.dropped for sockets in dropping if isinstance(sockets, Unanswered))

    def _intercepted(self) -> None:
        self.surroundings.meet("intercepted_ports")


class Listener:
    """One open address. `close` drops its connections too, as pulling the plug does."""

    def __init__(self, servers: ApiServers, where: tuple[str, int]) -> None:
        self._servers = servers
        self._where = where

    def close(self) -> None:
        self._servers.remove(self._where)


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
            await server.application({**scope, "state": state_of(peer)}, receive, send)

        return await httpx.ASGITransport(identified).handle_async_request(request)


def _client_context(ca: str | None) -> ssl.SSLContext:
    if ca is not None:
        return ssl.create_default_context(cadata=ca)
    # Discovery: the answer is worth nothing until its CA was compared with the pinned hash.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
