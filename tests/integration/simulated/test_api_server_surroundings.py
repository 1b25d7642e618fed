"""What the network does to an API server's clients is counted when one comes: packets dropped, certificates shown."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pcg.clouds.guest.api_servers import ApiServers
from pcg.clouds.guest.api_sockets import ApiServer
from pcg.clouds.guest.surroundings import Surroundings

HOST = "127.0.0.1"
PATIENCE = 0.3
NAMES = ("routed", "closed_ports", "announcements", "intercepted_ports")


async def _nobody(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no request comes so far")


def _port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def test_each_client_that_meets_it_is_counted_and_the_switch_is_not() -> None:
    around, port = Surroundings(), _port()
    servers = ApiServers(listen=True, surroundings=around)

    def met() -> dict[str, int]:
        return {name: times for name in NAMES if (times := around.times_met(name))}

    @asynccontextmanager
    async def among(**values: bool | frozenset[int]) -> AsyncIterator[None]:
        before = met()
        around.change(**values)
        listener = await servers.open(HOST, port, ApiServer(_nobody, "", Path(), Path()), announced=True)
        assert met() == before
        yield
        listener.close()

    async def in_vain() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.open_connection(HOST, port)

    async with among(routed=False):
        await in_vain()
        assert met() == {"routed": 1}
    async with among(routed=True, closed_ports=frozenset({port})):
        await in_vain()
    assert met() == {"routed": 1, "closed_ports": 1}
    async with among(closed_ports=frozenset(), announcements=False):
        await in_vain()
    assert met() == {"routed": 1, "closed_ports": 1, "announcements": 1}
    async with among(announcements=True, intercepted_ports=frozenset({port})):
        with socket.create_connection((HOST, port), timeout=PATIENCE):
            pass
        assert "intercepted_ports" not in met(), "who only knocks sees no certificate"
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(HOST, port, ssl=ssl.create_default_context())
        assert met()["intercepted_ports"] == 1
