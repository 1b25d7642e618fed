"""A WebSocket to the console as the session's small transport: send, receive, close.

The session keeps time itself (heartbeats are frames of the protocol), so the library's own pings are off.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus, WebSocketException

from pcg.errors import ProtocolError, Unreachable
from pcg.network import proxy_failures
from pcg.network.failures import causes, translate, unreachable
from pcg.network.http import served_certificate
from pcg.network.proxies import NO_PROXIES, Proxies
from pcg.network.proxy_failures import Answer
from pcg.network.served_certificate import explain
from pcg.wire.frames import MAXIMUM_FRAME_BYTES

OPEN_SECONDS = 20.0
"""name, connect, TLS and the upgrade together"""


class Transport(Protocol):
    """What a session needs of a connection; the simulated-time tests give it a pipe in memory.

    Each method raises Unreachable when the connection is gone.
    """

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str: ...

    async def close(self) -> None: ...


async def open_websocket(url: str, context: ssl.SSLContext, *, proxies: Proxies = NO_PROXIES) -> Transport:
    """Raises Unreachable with the hop that failed. Proxies are passed explicitly, never taken from the environment."""
    proxy = proxies.proxy_for(url)
    to_proxy = proxies.context_for(proxy) if proxy else None
    more: dict[str, Any] = {"proxy_ssl": to_proxy} if to_proxy else {}
    connected = False

    def made(*arguments: Any, **options: Any) -> ClientConnection:
        # The library makes its connection once the port has answered, or the proxy has opened the tunnel, and before
        # TLS to the console.
        nonlocal connected
        connected = True
        return _Connection(*arguments, **options)

    try:
        connection = await connect(
            url,
            ssl=context,
            proxy=proxy,
            create_connection=made,  # type: ignore[arg-type]  # any callable will do
            open_timeout=OPEN_SECONDS,
            ping_interval=None,
            close_timeout=2,
            max_size=MAXIMUM_FRAME_BYTES,
            compression=None,
            **more,
        )
    except (OSError, TimeoutError, WebSocketException) as error:
        if proxy and not connected:
            raise _proxy_failed(url, proxy, error) from error
        if connected and isinstance(error, TimeoutError):
            evidence = [f"no answer to the upgrade within {OPEN_SECONDS:g} s"]
            raise unreachable(url, "websocket", evidence, reason="websocket-timed-out") from error
        raise await _refused(url, error, proxy, proxies) from error
    except TypeError as error:
        # Python before 3.11.8 and 3.12.2 trips over TLS that fails inside of TLS (python/cpython#113214).
        if to_proxy is None or not any(isinstance(cause, ssl.SSLError) for cause in causes(error)):
            raise
        raise await _refused(url, _last_tls(error), proxy, proxies) from error
    return _WebSocketTransport(url, connection)


class _Connection(ClientConnection):
    """The library's, but for TLS that fails behind a proxy: it is then lost before it was made, and would trip."""

    _made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made = True
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._made:
            super().connection_lost(exc)


class _WebSocketTransport:
    def __init__(self, url: str, connection: ClientConnection) -> None:
        self._url = url
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise self._closed(error) from error
        if isinstance(message, bytes):
            raise ProtocolError("The console sent a binary message; frames are text.", reason="protocol")
        return message

    async def close(self) -> None:
        await self._connection.close()

    def _closed(self, error: ConnectionClosed) -> Unreachable:
        told = error.rcvd or error.sent
        evidence = f"closed with {told.code} {told.reason}".rstrip() if told else "the connection broke off"
        return unreachable(self._url, "websocket", [evidence], reason="session-closed")


def _last_tls(error: BaseException) -> ssl.SSLError:
    return next(cause for cause in causes(error) if isinstance(cause, ssl.SSLError))


def _proxy_failed(url: str, proxy: str, error: Exception) -> Unreachable:
    if isinstance(error, InvalidProxyStatus):
        said = error.response
        answer = Answer.of(said.status_code, said.reason_phrase, said.headers.raw_items())
        return proxy_failures.refused(url, proxy, answer)
    return proxy_failures.broke(url, proxy, causes(error))


async def _refused(url: str, error: Exception, proxy: str | None, proxies: Proxies) -> Unreachable:
    translated = translate(url, error, otherwise="websocket", proxy=proxy)
    response = getattr(error, "response", None)
    if response is not None:
        translated.evidence.append(f"answer: HTTP {response.status_code}")
    if translated.fields["hop"] == "tls":
        await explain(translated, error, url, lambda origin: served_certificate(origin, proxies))
    return translated
