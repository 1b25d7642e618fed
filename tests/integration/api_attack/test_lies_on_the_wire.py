"""HTTP itself told wrongly, on a real socket with TLS: false lengths, heads without end, bytes that are no HTTP.

The server may answer with a refusal or hang up; the next honest request is answered, and no log tells of a failure.
"""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from integration.gateway_console.conftest import Console
from pcg.network.trust import Trust

HEAD = b"POST /api/v1/gateways HTTP/1.1\r\nHost: console\r\nContent-Type: application/json\r\n"

LIES: dict[str, bytes] = {
    "more promised than sent": HEAD + b"Content-Length: 5000\r\n\r\n{}",
    "less promised than sent": HEAD + b"Content-Length: 1\r\n\r\n{}{}{}GET / HTTP/1.1\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "a length in words": HEAD + b"Content-Length: many\r\n\r\n{}",
    "a length beyond any number": HEAD + b"Content-Length: " + b"9" * 300 + b"\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{}",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip, identity, chunked\r\n\r\n0\r\n\r\n",
    "an endless header": HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n",
    "headers without end": HEAD + b"X: x\r\n" * 50_000,
    "an endless path": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: console\r\n\r\n",
    "a header folded": HEAD + b"X: a\r\n b\r\n\tc\r\n\r\n",
    "a header with NUL": HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": HEAD + b"X: a\nContent-Length: 0\r\n\r\n",
    "a name with a blank": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "an unknown version": b"GET / HTTP/9.9\r\nHost: console\r\n\r\n",
    "an old version": b"GET /\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x00\xff\x00\x01" * 50,
    "a path elsewhere": b"GET http://evil.example/api/v1/gateways HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a path of a proxy": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "the server itself": b"OPTIONS * HTTP/1.1\r\nHost: console\r\n\r\n",
    "an upgrade to nothing": (
        b"GET /gateway/v1/session HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ),
    "half a WebSocket": (
        b"GET /gateway/v1/session HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 1\r\nSec-WebSocket-Key: \xff\r\n\r\n\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"
    ),
    "a WebSocket elsewhere": (
        b"GET /api/v1/gateways HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
}


async def test_lies_on_the_wire(served: Console, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    context = Trust.only_ca(served.ca).context()
    for what, lie in LIES.items():
        caplog.clear()
        answer = await _say(served, context, lie)
        head, _, body = answer.partition(b"\r\n\r\n")
        if head:
            status = int(head.split(b" ", 2)[1])
            assert 400 <= status < 500 or status in (303, 501), (what, head)
        assert b"Traceback" not in body and b"site-packages" not in body, what
        failed = [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
        assert not failed, (what, failed)
        assert (await served.client.get("/gateways")).status_code == 200, what


async def test_a_body_that_comes_drop_by_drop_and_breaks(served: Console, caplog: pytest.LogCaptureFixture) -> None:
    context = Trust.only_ca(served.ca).context()
    key = served.client.headers["authorization"].encode()
    paths = (b"/api/v1/gateways", b"/gateway/v1/register", b"/gateway/v1/poll/frames", b"/sign-in", b"/gateway/v1/jet")
    for path in paths:
        caplog.clear()
        head = b"POST %s HTTP/1.1\r\nHost: c\r\nOrigin: https://c\r\nAuthorization: %s\r\n" % (path, key)
        kind = b"x-www-form-urlencoded" if path == b"/sign-in" else b"json"
        head += b"Content-Type: application/%s\r\nContent-Length: 64\r\n\r\n" % kind
        await _say(served, context, head, *([b" "] * 10))
        assert (await served.client.get("/gateways")).json()["items"] == [], path
        failed = [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]
        assert not failed, (path, failed)


async def _say(served: Console, context: ssl.SSLContext, *pieces: bytes) -> bytes:
    """What is answered until the server hangs up, or until we do: half a second after nothing more comes."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", served.relay.port, ssl=context, server_hostname="127.0.0.1"
    )
    heard = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        while True:
            async with asyncio.timeout(0.5):
                more = await reader.read(65536)
            if not more:
                break
            heard += more
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass  # it was cut, or waits for what will never come: both are answers
    finally:
        writer.transport.abort()
    return heard
