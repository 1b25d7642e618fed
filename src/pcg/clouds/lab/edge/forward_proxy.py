"""A real forward proxy on loopback, as a data center has: CONNECT, absolute URIs, Basic, rules, and named faults.

It answers as Squid does (status, `X-Squid-Error`), so that what is learned against it holds elsewhere, and connects
only to 127.0.0.0/8. Each fault counts how often it struck. Used by tests, and by drills of a data center's edge.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pcg.clouds.lab.edge.authority import Authority
from pcg.clouds.lab.edge.http_head import Head, read_head
from pcg.clouds.lab.edge.refusals import Refusals
from pcg.clouds.lab.edge.streams import pipe_both_ways

FAULTS = {
    "password-wrong": "no user and password are accepted (407, Basic)",
    "other-authentication": "only NTLM and Negotiate are offered (407)",
    "refuse": "every target is forbidden by rule (403)",
    "name-unresolved": "no target's name can be resolved (503)",
    "close-at-once": "the connection is closed without an answer",
    "not-a-proxy": "it answers as a web server, which knows no CONNECT (405)",
    "port-closed": "its port refuses connections; what stands goes on",
    "intercept-tls": "TLS is opened with the edge's own CA",
    "drop-upgrade": "the Upgrade of a request is left out; TLS is opened for it",
}


class ForwardProxy:
    """`faults` are named as in FAULTS and may be changed at any time, `port-closed` by `close` and `open`; they concern
    what connects from then on.

    `names` is its name server: a name that it does not hold cannot be resolved. With `tls`, clients reach the proxy
    itself by TLS.
    """

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "",
        password: str = "",
        names: Mapping[str, str] | None = None,
        forbidden: frozenset[str] = frozenset(),
        tls: bool = False,
    ) -> None:
        self.authority = Authority(folder)
        self.faults: set[str] = set()
        self._struck: Counter[str] = Counter()
        self.address = ""
        """HOST:PORT, once it serves"""
        self._names = dict(names or {})
        self._forbidden = forbidden
        self._expected = f"{user}:{password}".encode() if user else None
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._refusals: Refusals | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def hits(self) -> Counter[str]:
        """How often each fault struck, and `connect` and `forward`: what was passed on."""
        return self._struck + Counter({"port-closed": self._refusals.count if self._refusals else 0})

    def close(self) -> None:
        """The kernel refuses from now on, before we see anybody, and is asked whom."""
        if self._server is not None and self._refusals is not None and "port-closed" not in self.faults:
            self.faults.add("port-closed")
            self._refusals.begin()
            self._server.close()

    async def open(self) -> None:
        """After `close`, at the same address. Raises OSError."""
        if "port-closed" in self.faults:
            host, _, port = self.address.rpartition(":")
            await self.start(host, int(port))
            self.faults.discard("port-closed")

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        context = self.authority.server_context(host) if self._tls else None
        self._server = await asyncio.start_server(self._connected, host, port, ssl=context)
        bound = self._server.sockets[0].getsockname()[1]
        self.address = f"{host}:{bound}"
        if self._refusals is None:
            self._refusals = Refusals(host, bound)
        self._refusals.end()

    async def stop(self) -> None:
        if self._refusals is not None:
            self._refusals.end()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break what is open."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        if self._refusals is not None:
            self._refusals.accepted(writer.get_extra_info("peername")[1])
        try:
            # What a peer that goes away in the middle leaves behind is nothing that a proxy can tell anybody.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _strikes(self, fault: str) -> bool:
        if fault not in self.faults:
            return False
        self._struck[fault] += 1
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await read_head(reader)
        except ValueError:
            await _answer(writer, _BAD_REQUEST)
            return
        if self._strikes("close-at-once"):
            return
        refusal = self._refusal(head)
        if refusal is not None:
            await _answer(writer, refusal)
            return
        host, port = _target(head)
        address = self._resolve(host)
        if address is None:
            await _answer(writer, _Refusal(503, "Service Unavailable", ("X-Squid-Error: ERR_DNS_FAIL 0",)))
            return
        if not ipaddress.ip_address(address).is_loopback:
            await _answer(writer, _FORBIDDEN)
            return
        try:
            upstream = await self._upstream(address, port, opened=head.method == "CONNECT" and self._opens_tls)
        except OSError as error:
            number = error.errno or 0
            await _answer(writer, _Refusal(503, "Service Unavailable", (f"X-Squid-Error: ERR_CONNECT_FAIL {number}",)))
            return
        await self._pass_on(head, host, (reader, writer), upstream)

    async def _pass_on(
        self,
        head: Head,
        host: str,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        reader, writer = client
        self._writers.add(upstream[1])
        try:
            if head.method == "CONNECT":
                opens = self._opens_tls
                self._struck["connect"] += 1
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await writer.drain()
                if opens:
                    self._strikes("intercept-tls")
                    await writer.start_tls(self.authority.server_context(host))
                    request = await read_head(reader)
                    upstream[1].write(self._edited(request).encode())
            else:
                self._struck["forward"] += 1
                upstream[1].write(self._edited(head.for_origin()).encode())
            await pipe_both_ways((reader, writer), upstream)
        finally:
            self._writers.discard(upstream[1])
            upstream[1].transport.abort()

    @property
    def _opens_tls(self) -> bool:
        return bool(self.faults & {"intercept-tls", "drop-upgrade"})

    def _edited(self, head: Head) -> Head:
        if head.value("upgrade") and self._strikes("drop-upgrade"):
            return head.without("upgrade", "connection")
        return head

    def _refusal(self, head: Head) -> _Refusal | None:
        if self._strikes("not-a-proxy"):
            return _Refusal(405, "Method Not Allowed", ("Allow: GET, HEAD",), server="nginx")
        if self._strikes("other-authentication"):
            return _Refusal(407, _ASKS, ("Proxy-Authenticate: Negotiate", "Proxy-Authenticate: NTLM"))
        if self._strikes("password-wrong") or not self._accepts(head.value("proxy-authorization")):
            return _Refusal(407, _ASKS, ('Proxy-Authenticate: Basic realm="edge"',))
        try:
            host, _ = _target(head)
        except ValueError:
            return _BAD_REQUEST
        if host in self._forbidden or self._strikes("refuse"):
            return _FORBIDDEN
        return None

    def _accepts(self, given: str) -> bool:
        if self._expected is None:
            return True
        scheme, _, value = given.partition(" ")
        return scheme.lower() == "basic" and value.strip() == base64.b64encode(self._expected).decode()

    def _resolve(self, host: str) -> str | None:
        if self._strikes("name-unresolved"):
            return None
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            return self._names.get(host)

    async def _upstream(
        self, address: str, port: int, *, opened: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not opened:
            return await asyncio.open_connection(address, port)
        # An inspecting proxy would check this certificate; whom it trusts is not what is looked at here.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return await asyncio.open_connection(address, port, ssl=context)


@dataclass(frozen=True)
class _Refusal:
    status: int
    phrase: str
    headers: tuple[str, ...] = ()
    server: str = "squid/6.10"


_ASKS = "Proxy Authentication Required"
_BAD_REQUEST = _Refusal(400, "Bad Request", ("X-Squid-Error: ERR_INVALID_REQ 0",))
_FORBIDDEN = _Refusal(403, "Forbidden", ("X-Squid-Error: ERR_ACCESS_DENIED 0",))


def _target(head: Head) -> tuple[str, int]:
    """Raises ValueError for what is neither CONNECT nor an absolute URI."""
    parts = urlsplit(f"//{head.target}" if head.method == "CONNECT" else head.target)
    port = parts.port or (None if head.method == "CONNECT" else 80)
    if not parts.hostname or port is None or (head.method != "CONNECT" and parts.scheme != "http"):
        raise ValueError("no target for a proxy")
    return parts.hostname, port


async def _answer(writer: asyncio.StreamWriter, refusal: _Refusal) -> None:
    body = f"<html><body><h1>{refusal.phrase}</h1></body></html>\n".encode()
    lines = [
        f"HTTP/1.1 {refusal.status} {refusal.phrase}",
        f"Server: {refusal.server}",
        *refusal.headers,
        "Content-Type: text/html",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
