"""The running server's certificate on a real socket while a year goes by: new connections get the new one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from cryptography import x509

from doubles.gateway import ManualClock
from pcg.console import passwords, server
from pcg.console.app import create_app
from pcg.console.certificates import open_certificates
from pcg.console.service import Service
from pcg.console.settings import Settings

from .conftest import EMAIL, PASSWORD

HOSTS = {"localhost", "127.0.0.1"}
LOOKED_AT = timedelta(hours=1)
"""instead of each minute: a year of those takes a minute here"""


class YearAgo(ManualClock):
    """Ends where OpenSSL's clock is, after a bit more than a year."""

    began = datetime.now(UTC) - timedelta(days=375)

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self._now - 1000.0)


class Served:
    def __init__(self, settings: Settings, service: Service, clock: ManualClock) -> None:
        self.settings, self.service, self.clock = settings, service, clock

    async def shown(self, trusted: str | None = None) -> x509.Certificate:
        """By a new connection; `trusted` is what it must prove itself by."""
        context = ssl.create_default_context(cadata=trusted)
        if trusted is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", self.settings.port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
        return x509.load_der_x509_certificate(der)

    async def pass_time(self, by: timedelta) -> None:
        await self.clock.advance(by.total_seconds())

    async def until_looked_again(self) -> None:
        """The renewal works in a thread meanwhile, so it may have slept through none of the time that has passed."""
        await asyncio.sleep(0.02)
        await self.clock.advance(LOOKED_AT.total_seconds())

    async def until_shown(self, other_than: x509.Certificate) -> x509.Certificate:
        async with asyncio.timeout(20):
            while (shown := await self.shown()) == other_than:
                await self.until_looked_again()
        return shown


@contextlib.asynccontextmanager
async def serving(settings: Settings, clock: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(server, "_LOOKED_AT", LOOKED_AT)
    listening, ready = server.bind(settings), asyncio.Event()
    settings = replace(settings, port=listening.getsockname()[1])
    app = create_app(settings, clock=clock)
    service: Service = app.state.service

    def say_ready() -> str:
        ready.set()
        return ""

    running = asyncio.create_task(
        server.run(
            app, listening, settings, service.certificates,
            clock=clock, ready=say_ready, stopping=service.streams.close, renew=app.state.ca_watch.look,
        )
    )  # fmt: skip
    async with asyncio.timeout(20):
        await ready.wait()
    try:
        yield Served(settings, service, clock)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await running


def _settings(data: Path, **more: Path) -> Settings:
    return Settings(data=data, port=0, admin_email=EMAIL, admin_password=PASSWORD, **more)


async def test_the_certificate_is_renewed_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = YearAgo()
    async with serving(_settings(tmp_path), clock, monkeypatch) as served:
        first = await served.shown()
        await served.pass_time(timedelta(days=365))
        assert await served.shown() == first
        # An open connection is not disturbed.
        context = ssl.create_default_context(cadata=served.service.certificates.ca_pem)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.settings.port, ssl=context)
        await served.pass_time(timedelta(days=3))
        renewed = await served.until_shown(first)
        assert renewed.not_valid_after_utc - first.not_valid_after_utc > timedelta(days=300)
        assert await served.shown(served.service.certificates.ca_pem) == renewed
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.transport.abort()


async def test_an_operators_own_certificate_is_taken_when_its_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    clock = YearAgo()
    own = open_certificates(tmp_path / "own", HOSTS, clock.now())
    settings = _settings(tmp_path / "data", tls_cert=own.chain, tls_key=own.key)
    async with serving(settings, clock, monkeypatch) as served:
        first, pin = await served.shown(), served.service.certificates.pin
        other = open_certificates(tmp_path / "other", HOSTS, clock.now())
        # Half of a change is no change: the key does not fit the chain yet.
        own.chain.write_bytes(other.chain.read_bytes())
        async with asyncio.timeout(20):
            while "could not be renewed" not in caplog.text:
                await served.until_looked_again()
        assert caplog.records[-1].levelno == logging.ERROR
        assert await served.shown() == first
        own.key.write_bytes(other.key.read_bytes())
        assert await served.until_shown(first) == x509.load_pem_x509_certificate(other.chain.read_bytes())
        assert (served.service.certificates.pin, pin) == (other.pin, own.pin)
