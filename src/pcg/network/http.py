"""HTTPS to the console: the client, the one fetch that is made before anybody is trusted, and bounded answers.

Nothing is taken from the environment behind our back (`trust_env=False`): proxies and CAs are passed explicitly.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pcg.errors import Unreachable
from pcg.network import proxy_failures
from pcg.network.failures import causes, translate, unreachable
from pcg.network.plain_httpx import httpx
from pcg.network.proxies import NO_PROXIES, Proxies
from pcg.network.proxy_failures import Answer
from pcg.network.served_certificate import explain
from pcg.network.trust import Trust

if TYPE_CHECKING:  # jet imports this module and shall not pay for the configuration's types
    from pcg.network.endpoint import Endpoint

MAXIMUM_ANSWER_BYTES = 256 * 1024
"""no answer of the gateway's endpoints is larger"""

CA_PATH = "/gateway/v1/ca"
MAXIMUM_CA_BYTES = 64 * 1024
TIMEOUT_SECONDS = 15.0


def http_client(
    trust: Trust,
    *,
    base_url: str = "",
    proxies: Proxies = NO_PROXIES,
    timeout: float = TIMEOUT_SECONDS,
    answer_within: float | None = None,
    kept: int = 1,
) -> httpx.AsyncClient:
    """A client that trusts exactly `trust` and follows no redirect (an answer from elsewhere is not the console's).

    `base_url` decides about the proxy: the client is for one origin. `timeout` in seconds is for each wait on the
    network, `answer_within` for an answer that may be held back longer; `kept` idle connections stay open.
    """
    return _Client(
        base_url=base_url,
        verify=trust.context(),
        proxies=proxies,
        timeout=httpx.Timeout(timeout, read=answer_within or timeout),
        limits=httpx.Limits(max_connections=4, max_keepalive_connections=kept),
    )


async def call(
    client: httpx.AsyncClient, method: str, url: str, *, limit: int = MAXIMUM_ANSWER_BYTES, **arguments: Any
) -> httpx.Response:
    """One request whose answer is read up to `limit` bytes. Raises Unreachable with the hop that failed."""
    return await _bounded(client, method, url, limit, **arguments)


@asynccontextmanager
async def streamed(client: httpx.AsyncClient, method: str, url: str, **arguments: Any) -> AsyncIterator[httpx.Response]:
    """An answer that is read piece by piece, and bounded by its reader. Raises Unreachable, while it is read too."""
    async with (
        _told(client, url) as watch,
        client.stream(method, url, extensions={"trace": watch}, **arguments) as answer,
    ):
        yield answer


@dataclass(frozen=True)
class ServedCa:
    """`pem` is worth nothing until its pin was compared; `date` is what the answerer says that the time is (UTC)."""

    pem: str
    date: datetime | None


async def fetch_ca(endpoint: Endpoint, *, proxies: Proxies = NO_PROXIES, timeout: float = TIMEOUT_SECONDS) -> ServedCa:
    """The console's CA as PEM, from `GET /gateway/v1/ca`. `timeout` in seconds is for each wait on the network.

    The one fetch without trust: nothing secret is sent, and the answer is worth nothing until its pin was compared.
    """
    async with _untrusting(endpoint.url, proxies, timeout) as client:
        url = f"{endpoint.url}{CA_PATH}"
        answer = await _bounded(client, "GET", url, MAXIMUM_CA_BYTES)
    if answer.status_code != 200 or "-----BEGIN CERTIFICATE-----" not in answer.text:
        raise not_a_console(url, answer)
    return ServedCa(answer.text, _date(answer))


async def served_certificate(origin: str, proxies: Proxies, *, timeout: float = TIMEOUT_SECONDS) -> bytes | None:
    """The certificate (DER) that is served to us at `https://HOST[:PORT]`, to name who opens TLS; trusted by nobody.

    The request is the same public one as `fetch_ca`'s. Raises Unreachable.
    """
    async with (
        _untrusting(origin, proxies, timeout) as client,
        _told(client, origin) as watch,
        client.stream("GET", f"{origin}{CA_PATH}", extensions={"trace": watch}) as answer,
    ):
        tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
        return None if tls is None else bytes(tls.getpeercert(binary_form=True))


def not_a_console(url: str, answer: httpx.Response) -> Unreachable:
    """Something answered, but not as a console does: a captive portal, another service, a proxy's page."""
    evidence = [f"answer: HTTP {answer.status_code}, {answer.headers.get('content-type', 'no content type')}"]
    for header in ("server", "via", "location"):
        if header in answer.headers:
            evidence.append(f"{header}: {answer.headers[header][:200]}")
    start = " ".join(answer.text[:160].split())
    return unreachable(url, "http", [*evidence, f"it begins: {start!r}"], reason="not-a-console")


def _date(answer: httpx.Response) -> datetime | None:
    """Of RFC 9110, 6.6.1: when the answer was made, in whole seconds."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _Client(httpx.AsyncClient):
    """Knows its proxy, to name it when it fails."""

    def __init__(self, *, base_url: str, proxies: Proxies, **arguments: Any) -> None:
        self.proxies = proxies
        self.through = proxies.proxy_for(base_url) if base_url else None
        proxy = None
        if self.through:
            # httpx sends the credentials of the URL as Basic with CONNECT, and only there.
            proxy = httpx.Proxy(self.through, ssl_context=proxies.context_for(self.through))
        super().__init__(base_url=base_url, proxy=proxy, trust_env=False, follow_redirects=False, **arguments)


class _Watch:
    """httpcore's `trace` of one request: how far it came, and what the proxy said, which its error leaves out."""

    def __init__(self) -> None:
        self.beyond_proxy = True
        """also when a connection that stands is used again"""
        self.answer: Answer | None = None
        self._opened: Any = None
        """httpcore's stream of the connection that was opened for this request"""

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.beyond_proxy = False
        elif event == "connection.connect_tcp.complete":
            self._opened = info["return_value"]
        elif event == "proxy.start_tls.started":
            self.beyond_proxy = True
        elif event == "http11.receive_response_headers.complete" and not self.beyond_proxy:
            _, status, phrase, headers, *_ = info["return_value"]
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            self.answer = Answer.of(status, phrase.decode("latin-1"), pairs)

    async def abandon(self) -> None:
        """The request was cancelled. httpcore (1.0) closes its connection, but not in the midst of negotiating TLS."""
        if self._opened is not None:
            await self._opened.aclose()


def _untrusting(origin: str, proxies: Proxies, timeout: float) -> _Client:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _Client(base_url=origin, verify=context, proxies=proxies, timeout=timeout)


async def _bounded(client: httpx.AsyncClient, method: str, url: str, limit: int, **arguments: Any) -> httpx.Response:
    target = url if "://" in url else f"{str(client.base_url).rstrip('/')}{url}"
    async with (
        _told(client, target) as watch,
        client.stream(method, url, extensions={"trace": watch}, **arguments) as answer,
    ):
        body = bytearray()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > limit:
                raise unreachable(target, "http", [f"the answer is larger than {limit} bytes"], reason="too-large")
        headers = [(name, value) for name, value in answer.headers.items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=bytes(body), request=answer.request)


@asynccontextmanager
async def _told(client: httpx.AsyncClient, target: str) -> AsyncIterator[_Watch]:
    """httpx's errors in the body as Unreachable."""
    watch, through = _Watch(), client.through if isinstance(client, _Client) else None
    try:
        yield watch
    except httpx.HTTPError as error:
        if through and not watch.beyond_proxy:
            raise _proxy_failed(target, through, watch.answer, error) from error
        translated = translate(target, error, otherwise="http", proxy=through)
        if isinstance(client, _Client) and translated.fields["hop"] == "tls":
            await explain(translated, error, target, lambda origin: served_certificate(origin, client.proxies))
        raise translated from error
    except asyncio.CancelledError:
        await watch.abandon()
        raise


def _proxy_failed(target: str, proxy: str, answer: Answer | None, error: Exception) -> Unreachable:
    if answer is not None:
        return proxy_failures.refused(target, proxy, answer)
    return proxy_failures.broke(target, proxy, causes(error))
