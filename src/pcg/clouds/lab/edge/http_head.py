"""The head of an HTTP/1.1 request, as far as a proxy of the edge must read and change it. For `forward_proxy`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

_HOP_BY_HOP = ("proxy-authorization", "proxy-connection")


@dataclass(frozen=True)
class Head:
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]

    def value(self, name: str) -> str:
        """Of a header, named in lower case; empty when it is missing."""
        return next((value for known, value in self.headers if known.lower() == name), "")

    def without(self, *names: str) -> Head:
        return replace(self, headers=tuple(header for header in self.headers if header[0].lower() not in names))

    def for_origin(self) -> Head:
        """With the target in origin form, and without what was for the proxy alone (RFC 9112, 3.2.1)."""
        parts = urlsplit(self.target)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return replace(self, target=path).without(*_HOP_BY_HOP)

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Raises ValueError for what is no HTTP, IncompleteReadError and LimitOverrunError as the stream does."""
    begin = await reader.readexactly(1)
    if not begin.isalpha():
        # TLS, or nothing that we know: an end of this head might never come.
        raise ValueError("no request of HTTP")
    text = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError("no request of HTTP/1")
    pairs = [line.partition(":") for line in lines]
    return Head(words[0], words[1], words[2], tuple((name.strip(), value.strip()) for name, _, value in pairs))
