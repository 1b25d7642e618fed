"""One DHCPDISCOVER on an adapter and the offers to it (RFC 2131), as Ethernet frames that need no address of our own.

Nothing is requested, so no lease is taken: a server holds an offer back for a moment only. Raw packets, because a
kernel drops answers to an adapter without an address; that needs Linux and CAP_NET_RAW. Used by the probe `dhcp`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import dataclass

_IPV4, _UDP = 0x0800, 17
_CLIENT, _SERVER = 68, 67
_HEADERS = 28
"""of IPv4 without options, and of UDP"""
_BOOTP = struct.Struct("!BBBB4sHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_BROADCAST_FLAG = 0x8000
_DISCOVER, _OFFER, _NAK = 1, 2, 6
_END, _MASK, _ROUTER, _NAMES, _KIND, _WHO, _WANTED = 255, 1, 3, 6, 53, 54, 55
_NOBODY, _ALL = b"\0" * 4, b"\xff" * 4


@dataclass(frozen=True)
class Offer:
    address: str
    server: str
    refused: bool = False
    """the server answered no (DHCPNAK)"""


async def discover(adapter: str, tries: int, wait: float) -> Offer | None:
    """The first answer; None: nobody answered `tries` discovers, `wait` seconds each.

    Raises PermissionError without CAP_NET_RAW, OSError where the adapter cannot send.
    """
    family = getattr(socket, "AF_PACKET", None)
    if family is None:
        raise PermissionError("raw packets need Linux")
    loop, transaction = asyncio.get_running_loop(), os.urandom(4)
    with socket.socket(family, socket.SOCK_DGRAM, socket.htons(_IPV4)) as link:
        link.setblocking(False)
        link.bind((adapter, _IPV4))
        own = link.getsockname()[4]
        packet = discover_packet(own, transaction)
        for _ in range(tries):
            await loop.run_in_executor(None, link.sendto, packet, (adapter, _IPV4, 0, 0, b"\xff" * 6))
            try:
                async with asyncio.timeout(wait):
                    while True:
                        if offer := read_offer(await loop.sock_recv(link, 2048), transaction):
                            return offer
            except TimeoutError:
                continue
    return None


def discover_packet(own: bytes, transaction: bytes) -> bytes:
    """IPv4 with UDP with BOOTP: anybody who leases addresses, answer to everyone on the link."""
    body = bootp(
        1, own, transaction, _NOBODY, [(_KIND, bytes([_DISCOVER])), (_WANTED, bytes([_MASK, _ROUTER, _NAMES]))]
    )
    return datagram(_NOBODY, _CLIENT, _ALL, _SERVER, body)


def bootp(operation: int, own: bytes, transaction: bytes, yours: bytes, options: list[tuple[int, bytes]]) -> bytes:
    """`operation` 1 asks, 2 answers; `own` is the client's hardware address."""
    fixed = _BOOTP.pack(
        *(operation, 1, 6, 0, transaction, 0, _BROADCAST_FLAG, _NOBODY, yours, _NOBODY, _NOBODY, own, b"", b"", _COOKIE)
    )
    coded = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return fixed + coded + bytes([_END])


def datagram(source: bytes, source_port: int, target: bytes, target_port: int, body: bytes) -> bytes:
    """With the checksum of the header (RFC 791); UDP's own may be left out over IPv4 (RFC 768)."""
    total = _HEADERS + len(body)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 0, 0, 64, _UDP, 0, source, target)
    checked = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return checked + struct.pack("!HHHH", source_port, target_port, 8 + len(body), 0) + body


def read_offer(packet: bytes, transaction: bytes) -> Offer | None:
    """Of an IPv4 packet; None where it is not an answer to our discover."""
    length = (packet[0] & 15) * 4 if packet else 0
    if len(packet) < length + 8 + _BOOTP.size or length < 20 or packet[9] != _UDP:
        return None
    if struct.unpack_from("!H", packet, length + 2)[0] != _CLIENT:
        return None
    operation, _, _, _, found, _, _, _, yours, _, _, _, _, _, cookie = _BOOTP.unpack_from(packet, length + 8)
    if operation != 2 or found != transaction or cookie != _COOKIE:
        return None
    options = _options(packet[length + 8 + _BOOTP.size :])
    kind, who = options.get(_KIND, b""), options.get(_WHO, packet[12:16])
    if kind not in (bytes([_OFFER]), bytes([_NAK])) or len(who) != 4:
        return None
    return Offer(socket.inet_ntoa(yours), socket.inet_ntoa(who), refused=kind == bytes([_NAK]))


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == 0:  # padding
            at += 1
            continue
        if at + 1 >= len(data):
            break
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
