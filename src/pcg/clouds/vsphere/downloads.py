"""The image's source as a stream of bytes: a URL that is resumed by range when it breaks, or a file of this machine.

Used by `images.py`. A broken download goes on where it stood, unseen by whoever reads, if the server allows it and the
image has not changed meanwhile; else the import starts over.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urljoin, urlsplit

from pcg.clouds.vsphere import image_failures
from pcg.errors import PcgError, SetupMissing, Unreachable
from pcg.model.configuration import shown_url
from pcg.network.http import http_client, streamed
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust

if TYPE_CHECKING:
    import httpx

SCHEMES = ("http", "https", "file")
MAXIMUM_REDIRECTS = 5
ANSWER_WITHIN = 60.0
"""seconds for each wait on the network"""
FILE_PIECE = 256 * 1024
PAUSES = (0.2, 1.0, 2.0, 4.0, 8.0, 16.0)
"""seconds between tries that bring no new byte; after the last one the import starts over"""


class Source(Protocol):
    total: int | None
    """bytes, once known"""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Every byte once, in order."""
        ...


def importable(image: str) -> bool:
    """Whether `template.image` says where the image comes from; else it is the name of a template."""
    return "://" in image


def source_of(image: str, proxies: Proxies) -> Source:
    scheme = image.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise image_failures.source_unreachable(
            image, "name", [f"the scheme {scheme} is not known"], "Give the image as http://, https:// or file:///."
        )
    return LocalFile(image) if scheme == "file" else Download(image, proxies)


class LocalFile:
    def __init__(self, image: str) -> None:
        self._image = image
        self.total: int | None = None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            file = await asyncio.to_thread(self._open)
        except OSError as error:
            raise self._failed(error) from error
        try:
            while piece := await asyncio.to_thread(file.read, FILE_PIECE):
                yield piece
        except OSError as error:
            raise self._failed(error) from error
        finally:
            file.close()

    def _open(self) -> BinaryIO:
        parts = urlsplit(self._image)
        if parts.netloc not in ("", "localhost"):
            raise OSError("a file:// address names no other machine (file:///path/image.ova)")
        descriptor = os.open(Path(unquote(parts.path)), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device would never end
            os.close(descriptor)
            raise OSError("it is no regular file")
        self.total = found.st_size
        return os.fdopen(descriptor, "rb", buffering=0)

    def _failed(self, error: OSError) -> PcgError:
        where = shown_url(self._image)
        return SetupMissing(
            f"The node image cannot be read from {where}.",
            reason="image-source-unreachable",
            evidence=[f"{type(error).__name__}: {error.strerror or error}"],
            remedy=["Put the image there on the gateway's machine, readable for the gateway, or give a URL."],
            fields={"url": where, "hop": "file"},
        )


class Download:
    """`resumed` counts how often it went on by range."""

    def __init__(self, url: str, proxies: Proxies) -> None:
        self._url = url
        self._proxies = proxies
        self._have = 0
        self._validator = ""
        self.total: int | None = None
        self.resumed = 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        pauses = iter(PAUSES)
        while True:
            before = self._have
            try:
                async with aclosing(self._from_here(self._url)) as pieces:
                    async for piece in pieces:
                        self._have += len(piece)
                        yield piece
                if self.total is None or self._have == self.total:
                    return
                error = self._broken("the answer ended too early")
            except Unreachable as caught:
                error = caught
            # Without what was tried: the whole URL may hold a secret, and the failure names it as it may be shown.
            evidence = [line for line in error.evidence if not line.startswith("tried: ")]
            if not self._have:
                raise image_failures.source_unreachable(self._url, error.fields.get("hop", "http"), evidence) from error
            if self._have > before:
                pauses = iter(PAUSES)
            pause = next(pauses, None)
            if pause is None or not self._validator:
                why = (
                    [] if self._validator else ["the server tells neither ETag nor Last-Modified: it cannot be resumed"]
                )
                raise image_failures.interrupted(self._url, self._have, self.total, [*evidence, *why]) from error
            await asyncio.sleep(pause)

    async def _from_here(self, url: str, redirects: int = 0) -> AsyncGenerator[bytes, None]:
        headers = {"Accept-Encoding": "identity"}  # sizes and digests are of the bytes as they are
        if self._have:
            headers |= {"Range": f"bytes={self._have}-", "If-Range": self._validator}
        parts = urlsplit(url)
        trust = Trust.system_and(self._proxies.ca)
        async with (
            http_client(
                trust,
                base_url=f"{parts.scheme}://{parts.netloc}",
                proxies=self._proxies,
                answer_within=ANSWER_WITHIN,
            ) as client,
            streamed(client, "GET", url, headers=headers) as answer,
        ):
            if answer.is_redirect:
                target = self._redirected(url, answer, redirects)
            else:
                self._accept(answer)
                async for piece in answer.aiter_raw():
                    yield piece
                return
        async with aclosing(self._from_here(target, redirects + 1)) as pieces:
            async for piece in pieces:
                yield piece

    def _redirected(self, url: str, answer: httpx.Response, redirects: int) -> str:
        target: str = urljoin(url, answer.headers.get("location", ""))
        scheme = urlsplit(target).scheme
        if redirects >= MAXIMUM_REDIRECTS or scheme not in ("http", "https"):
            raise self._broken(f"HTTP {answer.status_code}: too many redirects, or to something that is not HTTP")
        if scheme == "http" and urlsplit(url).scheme == "https":
            raise self._broken(f"HTTP {answer.status_code}: it leads from https to http, which is not followed")
        return target

    def _accept(self, answer: httpx.Response) -> None:
        if not self._have:
            if answer.status_code != 200:
                raise self._broken(f"answer: HTTP {answer.status_code}")
            length = answer.headers.get("content-length", "")
            self.total = int(length) if length.isdecimal() else None
            self._validator = _validator(answer)
            return
        if answer.status_code >= 500:
            raise self._broken(f"answer: HTTP {answer.status_code}")  # tried again
        resumed = answer.headers.get("content-range", "").startswith(f"bytes {self._have}-")
        if answer.status_code != 206 or not resumed or _validator(answer) not in ("", self._validator):
            raise image_failures.interrupted(
                self._url,
                self._have,
                self.total,
                [f"answer: HTTP {answer.status_code}: the server does not resume, or the image has changed meanwhile"],
            )
        self.resumed += 1

    def _broken(self, why: str) -> Unreachable:
        return image_failures.source_unreachable(self._url, "http", [why])


def _validator(answer: httpx.Response) -> str:
    """What If-Range compares. A weak ETag may not be used for it (RFC 9110, 13.1.5)."""
    tag = str(answer.headers.get("etag", ""))
    return tag if tag and not tag.startswith("W/") else str(answer.headers.get("last-modified", ""))
