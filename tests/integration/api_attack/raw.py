"""Requests to the application exactly as they are given, byte for byte, and answers that may be streams without end.

No client in between mends a header, and of a stream the first piece is taken before the caller goes away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI

Headers = Iterable[tuple[bytes, bytes]]

_HOST = (b"host", b"console.test")


@dataclass(frozen=True)
class Raw:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def reason(self) -> str:
        """Of a problem; empty for anything else."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return str(json.loads(self.body)["reason"])


async def ask(app: FastAPI, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Raw:
    """`target` is path and query as they stand in the request's first line."""
    path, _, query = target.partition("?")
    given = [(name.lower(), value) for name, value in headers]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https", "method": method,
        # As the server decodes it.
        "path": unquote_to_bytes(path).decode("utf-8", "replace"), "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"), "headers": [_HOST, *given],
        "client": ("127.0.0.9", 1), "server": ("console.test", 443), "root_path": "", "state": {},
    }  # fmt: skip
    sent = asyncio.Event()
    gone = asyncio.Event()
    started: dict[str, Any] = {}
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not sent.is_set():
            sent.set()
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            return
        pieces.append(message.get("body", b""))
        if not message.get("more_body") or started_as_stream():
            gone.set()

    def started_as_stream() -> bool:
        return (b"content-type", b"text/event-stream; charset=utf-8") in started["headers"]

    async with asyncio.timeout(30):
        try:
            await app(scope, receive, send)
        except Exception:  # noqa: BLE001 - the server would log it; what counts is the answer, which was made before
            assert started, "no answer at all"
    answered = {name.decode().lower(): value.decode("latin-1") for name, value in started["headers"]}
    return Raw(started["status"], answered, b"".join(pieces))


async def connect(app: FastAPI, target: str, headers: Headers, *frames: str | bytes) -> list[str]:
    """A WebSocket that says these frames and then only listens; what the console says until it ends."""
    to_send: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    to_send.put_nowait({"type": "websocket.connect"})
    for frame in frames:
        text = isinstance(frame, str)
        to_send.put_nowait(
            {"type": "websocket.receive", "text": frame if text else None, "bytes": None if text else frame}
        )
    told: list[str] = []

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            told.append(message["text"])

    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "wss", "path": target,
        "raw_path": target.encode(), "query_string": b"", "headers": [_HOST, *headers], "subprotocols": [],
        "client": ("127.0.0.9", 1), "server": ("console.test", 443), "root_path": "", "state": {},
    }  # fmt: skip
    async with asyncio.timeout(30):
        await app(scope, to_send.get, send)
    return told
