"""A real name server on loopback, by UDP and TCP, as a data center has: a table of names, and named faults.

It answers as a recursive resolver does that knows no other names than its table's. Used by tests, and by drills through
`edge`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Mapping
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from pcg.clouds.lab.edge.listener import Listener
from pcg.clouds.lab.edge.streams import accepted, drop

FAULTS = {
    "silent": "no query is answered",
    "refused": "every query is refused by rule (REFUSED)",
    "server-failure": "no query can be answered (SERVFAIL)",
    "name-unknown": "no name exists (NXDOMAIN)",
    "wrong-address": "each known name has an address at which nobody listens",
}
"""The first of them that is on strikes."""

_HEADER_SIZE = 12
_FORMAT_ERROR = b"\x80\x01" + bytes(8)
_TRIES = 20
_IDLE_SECONDS = 10.0


class NameServer:
    """`names` is the table: name to address, and may change at any time. `faults` are named as in FAULTS and may be
    changed at any time; an answer given before is kept by clients for `ttl` seconds.
    """

    def __init__(self, names: Mapping[str, str], *, ttl: int = 5, wrong_address: str = "127.255.255.254") -> None:
        self.faults: set[str] = set()
        self.hits: Counter[str] = Counter()
        """how often each fault struck, and `answered`: queries answered as they should be"""
        self._names = names
        self._ttl = ttl
        self._wrong_address = wrong_address
        self._listener = Listener(self._serve)
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        return self._listener.address

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """The same port by UDP and TCP. Raises OSError."""
        for attempt in range(_TRIES):
            self._listener.open(host, port)
            try:
                self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, self._listener.port)
                )
            except OSError:
                # A free port of TCP may be taken for UDP.
                await self._listener.stop()
                if port or attempt + 1 == _TRIES:
                    raise
            else:
                return

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        await self._listener.stop()

    def answer(self, wire: bytes) -> bytes | None:
        """None: nothing is sent."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            is_query = len(wire) >= _HEADER_SIZE and not wire[2] & 0x80
            return wire[:2] + _FORMAT_ERROR if is_query else None
        if query.flags & dns.flags.QR:
            return None
        fault = next((name for name in FAULTS if name in self.faults), None)
        if fault == "silent":
            self.hits[fault] += 1
            return None
        response = dns.message.make_response(query, recursion_available=True)
        self._fill(response, query, fault)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, query: dns.message.Message, fault: str | None) -> None:
        rcodes = {
            "refused": dns.rcode.REFUSED,
            "server-failure": dns.rcode.SERVFAIL,
            "name-unknown": dns.rcode.NXDOMAIN,
        }
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return
        if fault in rcodes:
            self.hits[fault] += 1
            response.set_rcode(rcodes[fault])
            return
        question = query.question[0]
        address = self._names.get(question.name.to_text(omit_final_dot=True).lower())
        if address is None:
            self.hits["answered"] += 1
            response.set_rcode(dns.rcode.NXDOMAIN)
            return
        if fault == "wrong-address":
            address = self._wrong_address
        self.hits[fault or "answered"] += 1
        kind = dns.rdatatype.A if ipaddress.ip_address(address).version == 4 else dns.rdatatype.AAAA
        if question.rdtype == kind and question.rdclass == dns.rdataclass.IN:
            response.answer.append(dns.rrset.from_text(question.name, self._ttl, "IN", kind, address))

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await accepted(connection)
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    answer = self.answer(await reader.readexactly(size))
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        finally:
            await drop(writer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = self._server.answer(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, address)
