"""One import's lease: made, kept alive while the disks are sent, and ended in any case: completed or aborted.

Used by `images.py`. A vCenter ends a lease whose progress nobody reports, and removes the machine of one that failed or
was aborted. The disks go by HTTPS to the vCenter or straight to one of its hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pcg.clouds.server_trust import CONNECT_TIMEOUT
from pcg.clouds.vsphere import image_failures
from pcg.clouds.vsphere.inventory import read_one
from pcg.clouds.vsphere.session import VsphereSession
from pcg.errors import PcgError, TryAgain, Unreachable
from pcg.network.http import streamed
from pcg.network.plain_httpx import httpx
from pcg.network.trust import Trust

READY_WITHIN = 300.0
"""seconds; a vCenter under load takes minutes to make the machine"""
READY_LOOK = 0.25
PROGRESS_EVERY = 10.0
"""seconds at most; a third of the lease's own limit where that is shorter"""
SEND_WITHIN = 120.0
"""seconds that a host may take for one piece: its datastore may be slow"""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Device:
    """Where one file of the image is sent to. `thumbprint` is SHA-1, as vCenter tells it of its hosts."""

    url: str
    thumbprint: str


async def to_the_end(work: Awaitable[Answer]) -> Answer:
    """Also when cancelled: a call that is under way in a thread cannot be called back, so its end is waited for."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody asks any more
        raise


async def call(session: VsphereSession, function: Callable[..., Answer], *arguments: Any) -> Answer:
    """`session.run`, waited for when cancelled: the session's end must find no call of ours in one of its threads."""
    return await to_the_end(session.run(function, *arguments))


class Lease:
    def __init__(self, session: VsphereSession, managed: Any) -> None:
        self._session = session
        self._managed = managed
        self._timeout = READY_WITHIN
        self.entity: Any = None
        self.devices: dict[str, Device] = {}
        """by the import key, which `OvfFileItem.deviceId` names"""

    @classmethod
    async def begin(cls, session: VsphereSession, pool: Any, spec: Any, folder: Any) -> Lease:
        """A lease that is ready. Raises the contract's errors, Conflict when the name is taken."""
        starting = asyncio.ensure_future(session.run(lambda: pool.ImportVApp(spec, folder, None)))
        try:
            lease = cls(session, await asyncio.shield(starting))
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await cls(session, starting.result()).abort()
            raise
        try:
            await lease._wait_until_ready()
        except BaseException:
            await lease.abort()
            raise
        return lease

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            state = await self.failure_or_state()
            if state != "initializing" or time.monotonic() > deadline:
                break
            await asyncio.sleep(READY_LOOK)
        if state != "ready":
            raise TryAgain(f"The import's lease is {state}.", reason="image-lease-failed")
        info = (await call(self._session, read_one, self._session, self._managed, ["info"]))["info"]
        self.entity = info.entity
        self._timeout = float(info.leaseTimeout)
        self.devices = {
            str(device.importKey): Device(_with_host(str(device.url), self._session.server), device.sslThumbprint or "")
            for device in info.deviceUrl
        }

    async def failure_or_state(self) -> str:
        """Raises the error that the lease ended with."""
        found = await call(self._session, read_one, self._session, self._managed, ["state", "error"])
        if found.get("error") is not None:
            failure = self._session.translate(found["error"])
            failure.evidence.insert(0, "the import's lease failed")
            raise failure from found["error"]
        return str(found["state"])

    async def keep_alive(self, percent: Callable[[], int]) -> None:
        """Until it is cancelled. Raises when the lease has failed or is gone."""
        while True:
            await call(self._session, self._report, percent())
            await self.failure_or_state()
            await asyncio.sleep(min(PROGRESS_EVERY, self._timeout / 3))

    def _report(self, percent: int) -> None:
        self._managed.HttpNfcLeaseProgress(percent)

    async def send(self, image: str, device: Device, create: bool, size: int, pieces: AsyncIterator[bytes]) -> None:
        """One disk. Raises Unreachable with the host and the hop, or the interruption."""
        parts = urlsplit(device.url)
        host, port = parts.hostname or "", parts.port or 443
        context = await asyncio.to_thread(self._context, host, port, device)
        limits = httpx.Timeout(SEND_WITHIN, connect=CONNECT_TIMEOUT)
        sent = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal sent
            async for piece in pieces:
                sent += len(piece)
                yield piece

        headers = {"Content-Length": str(size), "Content-Type": "application/x-vnd.vmware-streamVmdk", "Overwrite": "t"}
        method = "PUT" if create else "POST"
        try:
            async with (
                httpx.AsyncClient(verify=context, trust_env=False, timeout=limits) as client,
                streamed(client, method, device.url, content=counted(), headers=headers) as answer,
            ):
                status = answer.status_code
        except Unreachable as error:
            if error.reason == "image-source-unreachable":
                raise
            told = [
                line for line in error.evidence if not line.startswith("tried: ")
            ]  # the address is as good as a key
            hop = error.fields["hop"]
            if not sent and hop in ("name", "connect", "tls"):
                raise image_failures.host_unreachable(host, port, hop, told[-1]) from error
            raise image_failures.interrupted(
                image, sent, size, [f"sending to {host}:{port}", *told], host=host
            ) from error
        if status not in (200, 201, 204):
            answered = f"{host}:{port} answered HTTP {status}"
            raise image_failures.interrupted(image, sent, size, [answered], host=host)

    def _context(self, host: str, port: int, device: Device) -> ssl.SSLContext:
        """The vCenter by the trust of the session; a host of its by the thumbprint that the trusted vCenter tells."""

        def unreachable(hop: str, error: Exception, *, reason: str = "") -> Unreachable:
            return image_failures.host_unreachable(host, port, hop, f"{type(error).__name__}: {error}", reason)

        if (host, port) == self._session.server or not device.thumbprint:
            return self._session.context_for(host, port, unreachable)
        try:
            pem = ssl.get_server_certificate((host, port), timeout=CONNECT_TIMEOUT)
        except ssl.SSLError as error:
            raise unreachable("tls", error) from error
        except OSError as error:
            raise unreachable("connect", error) from error
        presented = hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem), usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(presented, device.thumbprint.replace(":", "").lower()):
            raise unreachable("tls", ssl.SSLError("its certificate is not the one that vCenter knows"))
        return Trust.only_leaf(pem).context()

    async def complete(self) -> None:
        await call(self._session, lambda: self._managed.HttpNfcLeaseComplete())

    async def abort(self) -> None:
        """As far as possible: a lease that has failed or ended by itself needs no end of ours."""
        with contextlib.suppress(PcgError):
            await call(self._session, lambda: self._managed.HttpNfcLeaseAbort(None))


def _with_host(url: str, server: tuple[str, int]) -> str:
    """vCenter writes `*` for itself: the way to it that we took is the one that is known to lead there."""
    parts = urlsplit(url)
    if parts.hostname != "*":
        return url
    host = f"[{server[0]}]" if ":" in server[0] else server[0]
    return urlunsplit(parts._replace(netloc=f"{host}:{server[1]}"))
