"""The process of the installer's own page: TLS, what it shows on the machine's screen, its end. For `pcg monitor`.

A process of its own, so that it answers when the gateway's is dead, hung or cannot start; it needs no console, no name
server and no cloud.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from pcg.clock import Clock
from pcg.errors import SetupMissing
from pcg.gateway.machine_knowledge import Given
from pcg.gateway.monitor.application import application
from pcg.gateway.monitor.first_boot import FirstBoot, banner, new_password, show_banner
from pcg.gateway.monitor.log_sources import LogSources
from pcg.gateway.monitor.pages import Site
from pcg.gateway.monitor.sign_in import SignIn
from pcg.gateway.monitor.tasks import Machine, TaskRuns

PORT = 5080

_CONNECTIONS = 64
_HEADER_BYTES = 16 * 1024
_LAST_SECONDS = 2


@dataclass(frozen=True)
class MonitorSettings:
    """`given`: the installer's state folder, and what the tasks may know beside it; `names`: further host names under
    which it is asked for; `screen`: a file for the machine's login screen."""

    given: Given
    host: str
    port: int
    logs: LogSources
    names: tuple[str, ...] = ()
    screen: Path | None = None


async def run_monitor(settings: MonitorSettings, clock: Clock) -> None:
    """Until SIGTERM or SIGINT. Raises SetupMissing."""
    kept = FirstBoot(settings.given.state)
    kept.prepare()
    with contextlib.closing(_bind(settings.host, settings.port)) as listening:
        host, port = listening.getsockname()[:2]
        where = f"https://{_own_address(host)}:{port}"
        show_on_screen(kept, where, settings.screen)

        def entered() -> None:
            # Whoever should know the password knows it: the login screen need not show it any longer.
            if settings.screen is not None:
                show_banner(settings.screen, banner(where, kept.certificate_fingerprint(), None))

        machine = Machine(settings.given, settings.logs, clock)
        site = Site(settings.given.state, settings.logs, SignIn(kept, clock, entered), TaskRuns(machine), clock)
        config = uvicorn.Config(
            application(site, settings.names),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            ws="none",
            lifespan="off",
            h11_max_incomplete_event_size=_HEADER_BYTES,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
        config.load()
        config.ssl = _tls(kept)
        try:
            await _Server(config, site, f"https://{_bracketed(host)}:{port}").serve(sockets=[listening])
        finally:
            await site.tasks.close()


def show_on_screen(kept: FirstBoot, where: str, screen: Path | None) -> None:
    """Certificate and password, on a terminal and in the login screen's file. The first password is made only where
    somebody can read it, and kept after it was shown: a kill in between makes another one.

    Output that is no terminal may be a log: no password goes there.
    """
    made = new_password() if kept.password_hash() is None else None
    text = banner(where, kept.certificate_fingerprint(), made)
    shown = screen is not None and show_banner(screen, text)
    if sys.stdout.isatty():
        sys.stdout.write(text)
        sys.stdout.flush()
        shown = True
    if made is not None and shown:
        kept.keep_password(made)
    elif made is not None:
        sys.stderr.write("note: there is no screen to show a password on; make one with: pcg monitor reset-password\n")


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is ready, and streams that end when it is to stop."""

    def __init__(self, config: uvicorn.Config, site: Site, url: str) -> None:
        super().__init__(config)
        self._site = site
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stderr.write(f"the installer's page is at {self._url}\n")
            sys.stderr.flush()

    @contextlib.contextmanager
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
        self.force_exit = self.should_exit
        self.should_exit = True
        self._site.stopping.set()


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SetupMissing(
            f"The page cannot listen at {_bracketed(host)}:{port}: {error.strerror or error}.",
            reason="listen-address",
            remedy=["Choose another --listen address, or end the process that uses this one."],
        ) from error
    return listening


def _tls(kept: FirstBoot) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(kept.certificate, kept.key)
    except (OSError, ssl.SSLError) as error:
        raise SetupMissing(
            f"The page's certificate {kept.certificate} cannot be used: {error}.",
            reason="monitor-certificate",
            remedy=[f"Remove {kept.certificate} and {kept.key}: others are made at the next start."],
        ) from error
    return context


def _own_address(host: str) -> str:
    """Where a person finds the page: this machine's address towards others, for it listens at all. Nothing is sent: a
    UDP socket only looks up the route (to an address of the documentation's, RFC 5737)."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened at
        return _bracketed(host)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as looking:
        try:
            looking.connect(("192.0.2.1", 9))
            return str(looking.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
