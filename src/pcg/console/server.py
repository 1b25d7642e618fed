"""The process round the application: socket, TLS, signals, renewal of the certificate. Called by `console/app.py`.

Prints `console ready at URL` when it accepts connections. SIGTERM ends it quickly: streams and sessions are closed,
requests under way get some seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, NoReturn

import uvicorn
from starlette.types import ASGIApp

from pcg.clock import Clock
from pcg.console.certificates import Certificates
from pcg.console.settings import Settings
from pcg.errors import SetupMissing
from pcg.wire.frames import MAXIMUM_FRAME_BYTES

_LAST_SECONDS = 5
_FAREWELL_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_LOOKED_AT = timedelta(minutes=1)

_log = logging.getLogger(__name__)


def bind(settings: Settings) -> socket.socket:
    """Raises SetupMissing when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SetupMissing(
            f"The console cannot listen at {settings.host}:{settings.port}: {error.strerror or error}.",
            reason="listen-address",
            remedy=["Choose another --listen address, or end the process that uses this one."],
        ) from error
    return listening


async def run(
    app: ASGIApp,
    listening: socket.socket,
    settings: Settings,
    certificates: Certificates,
    *,
    clock: Clock,
    ready: Callable[[], str],
    stopping: Callable[[], None],
    renew: Callable[[], Awaitable[None]],
) -> None:
    """Until SIGTERM or SIGINT. `ready` gives the lines to print; `stopping` ends streams that would never end; `renew`
    is called once a minute and may change the files of `certificates`."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=_as_seen(settings.trusted_proxies),
        ws="websockets-sansio",
        ws_max_size=MAXIMUM_FRAME_BYTES,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    config.load()
    config.ssl = None if settings.plain_http else _tls(certificates)
    server = _Server(config, ready, stopping)
    renewal = asyncio.create_task(_keep_fresh(config.ssl, certificates, clock, renew))
    try:
        await server.serve(sockets=[listening])
    finally:
        renewal.cancel()


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is ready and one when it is to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], str], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(self._ready())
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn tells those who are there now that it ends; whoever was still in the midst of TLS comes later.
        told = set(self.server_state.connections)
        seeing_off = asyncio.create_task(self._see_off(told))
        try:
            await super().shutdown(sockets)
        finally:
            seeing_off.cancel()
            await self._drop_all()

    async def _see_off(self, told: set[Any]) -> None:
        """Tells late comers too. An idle client that reads nothing never answers the end of TLS, which uvicorn would
        wait for: it is dropped."""
        silent: dict[Any, float] = {}
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for connection in list(self.server_state.connections):
                if connection not in told:
                    told.add(connection)
                    connection.shutdown()
                since = silent.setdefault(connection, time.monotonic()) if connection.transport.is_closing() else None
                if since is not None and time.monotonic() - since >= _FAREWELL_SECONDS:
                    connection.transport.abort()

    async def _drop_all(self) -> None:
        """Nobody is left when this ends, but who does not even notice that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while self.server_state.connections:
                    for connection in list(self.server_state.connections):
                        connection.transport.abort()
                    await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """So that the process ends with 0: uvicorn would send itself the signal once more at the end."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        loop = asyncio.get_running_loop()
        for number in numbers:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        # The second signal waits for nobody.
        self.force_exit = self.should_exit
        self.should_exit = True
        self._stopping()


def _as_seen(networks: tuple[str, ...]) -> list[str]:
    """A socket for both families shows an IPv4 peer as ::ffff:ADDRESS."""
    version_4 = [network for text in networks if (network := ipaddress.ip_network(text)).version == 4]
    return [*networks, *(f"::ffff:{network.network_address}/{96 + network.prefixlen}" for network in version_4)]


def _tls(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificates)
    return context


def _load(context: ssl.SSLContext, certificates: Certificates) -> None:
    try:
        context.load_cert_chain(certificates.chain, certificates.key)
    except (OSError, ssl.SSLError) as error:
        raise SetupMissing(
            f"The certificate {certificates.chain} cannot be used: {error}.",
            reason="tls-files",
            remedy=["Give a chain in PEM and the key that belongs to its first certificate."],
        ) from error


async def _keep_fresh(
    context: ssl.SSLContext | None, certificates: Certificates, clock: Clock, renew: Callable[[], Awaitable[None]]
) -> NoReturn:
    """New connections get a new certificate, whoever wrote it; the process goes on."""
    loaded = _stamps(certificates)
    while True:
        await clock.sleep(_LOOKED_AT.total_seconds())
        try:
            await renew()
            present = _stamps(certificates)
            if context is not None and present != loaded:
                # Tried first: what fails half way would leave the context without a key.
                _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificates)
                _load(context, certificates)
                loaded = present
        except Exception:  # noqa: BLE001 - a damaged file or a busy store must not end the renewal for good
            _log.exception("the certificates could not be renewed; the next try is in a minute")


def _stamps(certificates: Certificates) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for path in (certificates.chain, certificates.key):
        try:
            state = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_ino, state.st_mtime_ns))
    return found
