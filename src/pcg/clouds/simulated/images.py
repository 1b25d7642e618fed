"""The image host: a web server of the simulated world from which the data center fetches the node image.

Its gate can be shut: then it lets nobody in, as a host behind a closed firewall does.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import PcgError
from pcg.network.failures import translate

IMAGE_NAME = "ubuntu-2204-k8s-1.30"
IMAGE_FILE = f"{IMAGE_NAME}.ova"
LARGEST_IMAGE_BYTES = 64 * 1024 * 1024
"""of a simulated image: true ones have gigabytes, these hold a description alone"""


class Gate:
    """Whether the host lets anybody in, and for how long; `turned_away` counts who came while it was shut, and
    `broken_off` the transfers that came to no end."""

    def __init__(self) -> None:
        self.open = True
        self.turned_away = 0
        self.lasts = True
        """False: every connection breaks in the middle of the image"""
        self.broken_off = 0
        self.connections: set[asyncio.Transport] = set()

    def passes(self) -> bool:
        self.turned_away += not self.open
        return self.open

    def breaks(self) -> bool:
        """Whether the connections have just been broken."""
        if self.lasts:
            return False
        self.broken_off += 1
        for transport in self.connections:
            transport.abort()
        return True


def image() -> bytes:
    """A small OVA, the same in every run."""
    descriptor = (
        f'<?xml version="1.0"?>\n<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">\n'
        f'  <VirtualSystem id="{IMAGE_NAME}"><Info>Kubernetes node</Info></VirtualSystem>\n</Envelope>\n'
    ).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(f"{IMAGE_NAME}.ovf")
        entry.size = len(descriptor)
        archive.addfile(entry, io.BytesIO(descriptor))
    return made.getvalue()


def image_sha256() -> str:
    return hashlib.sha256(image()).hexdigest()


def _application(gate: Gate) -> Starlette:
    content = image()

    async def give(request: Request) -> Response:
        headers = {"content-length": str(len(content))}
        if request.method == "HEAD":
            return Response(media_type="application/x-tar", headers=headers)

        async def parts() -> AsyncIterator[bytes]:
            yield content[: len(content) // 2]
            if gate.breaks():
                while (await request.receive())["type"] != "http.disconnect":
                    continue
                return
            yield content[len(content) // 2 :]

        return StreamingResponse(parts(), media_type="application/x-tar", headers=headers)

    return Starlette(routes=[Route(f"/{IMAGE_FILE}", give, methods=["GET", "HEAD"])])


@asynccontextmanager
async def image_host(gate: Gate, address: str) -> AsyncIterator[str]:
    """Served as plain HTTP at a port of its own choice; gives the base URL."""
    config = Config(_application(gate), lifespan="off", log_config=None, access_log=False, ws="none")
    config.load()
    loop = asyncio.get_running_loop()

    class Guarded(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            gate.connections.add(transport)
            if not gate.passes():
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            gate.connections.discard(self.transport)
            super().connection_lost(exc)

    server = await loop.create_server(lambda: Guarded(config, ServerState(), {}, loop), address, IMAGE_PORT)
    try:
        yield f"http://{address}:{IMAGE_PORT}"
    finally:
        server.close()


IMAGE_PORT = 8099


class ImageTransport(httpx.AsyncBaseTransport):
    """Reaches the image host without a socket, for simulated time."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._inner = httpx.ASGITransport(_application(gate))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._gate.passes():
            raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
        if request.method == "GET" and self._gate.breaks():
            return httpx.Response(200, stream=_HalfAnImage(request))
        return await self._inner.handle_async_request(request)


class _HalfAnImage(httpx.AsyncByteStream):
    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = image()
        yield content[: len(content) // 2]
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=self._request)


class ImageFetcher:
    """The data center's own way to image sources."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport

    async def probe(self, url: str) -> None:
        """Raises Refusal `fetch-failed` with the URL and the hop at which it failed."""
        await self._request("HEAD", url)

    async def fetch(self, url: str, sha256: str | None) -> None:
        """The whole image, compared with its digest. Raises Refusal `fetch-failed`."""
        content = await self._request("GET", url)
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256:
            fields = {"url": url, "hop": "content", "wanted": sha256, "found": found}
            raise Refusal("fetch-failed", f"The image from {url} is not the wanted one: its SHA-256 differs.", fields)

    async def _request(self, method: str, url: str) -> bytes:
        content = bytearray()
        try:
            async with (
                httpx.AsyncClient(transport=self._transport, trust_env=False, timeout=10.0) as client,
                client.stream(method, url) as answer,
            ):
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > LARGEST_IMAGE_BYTES:
                        raise _failed(url, "http", f"it is larger than {LARGEST_IMAGE_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem: PcgError = translate(url, error, otherwise="http")
            if content:
                fields = {"url": url, "hop": problem.fields["hop"], "received": str(len(content))}
                message = f"The transfer of the image from {url} broke off after {len(content)} bytes."
                raise Refusal("fetch-interrupted", message, fields) from error
            raise _failed(url, problem.fields["hop"], problem.evidence[-1]) from error
        if answer.status_code != 200:
            raise _failed(url, "http", f"HTTP {answer.status_code}")
        return bytes(content)


def _failed(url: str, hop: str, words: str) -> Refusal:
    return Refusal("fetch-failed", f"The image cannot be fetched from {url}: {words}", {"url": url, "hop": hop})
