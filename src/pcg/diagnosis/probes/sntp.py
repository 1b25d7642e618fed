"""The probe `sntp`: how far this machine's clock is from an NTP server's (SNTP, RFC 4330 and RFC 5905).

One packet of 48 bytes each way. Written here because the known library (ntplib) blocks, has had no release since 2021,
and would be asked for these 48 bytes only. Sets no clock. Called by the plan of the live diagnosis.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.diagnosis.probes.first_hops import Heard
from pcg.diagnosis.probes.name import ask_names
from pcg.network.name_queries import NameServer

SECONDS = 3.0
PORT = 123
TOLERANCE_SECONDS = 5.0
"""what separates a clock that is kept from one that is not; TLS and Kubernetes' leases bear more"""

_PACKET = struct.Struct("!BBbb11I")
_SINCE_1900 = 2_208_988_800
"""seconds from the NTP era's start to 1970 (RFC 5905, 6)"""
_CLIENT, _SERVER = 3, 4
_VERSION = 4
_ALARM = 3
"""leap indicator: the server's clock is not synchronised"""
_TRIES = 2
_ERA = 1 << 32


async def probe_sntp(
    server: str,
    address: str,
    *,
    port: int = PORT,
    seconds: float = SECONDS,
    tolerance: float = TOLERANCE_SECONDS,
    now: Callable[[], float] = time.time,
) -> ProbeAnswer:
    """`address` is the server's. `now` is this machine's clock, and `tolerance` how far it may be
    off, in seconds."""

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        loop = asyncio.get_running_loop()
        with socket.socket(family, socket.SOCK_DGRAM) as connected:
            connected.setblocking(False)
            # Connected, so that a port where nobody listens is told at once and strangers' packets never arrive.
            connected.connect((address, port))
            for left in reversed(range(_TRIES)):
                nonce = os.urandom(8)
                sent = now()
                await loop.sock_sendall(connected, request(nonce))
                try:
                    async with asyncio.timeout(seconds / _TRIES):
                        while True:
                            answer = await loop.sock_recv(connected, 1024)
                            if len(answer) >= _PACKET.size and answer[24:32] == nonce:
                                return judge(question, answer, sent, now(), tolerance)
                except TimeoutError:
                    if not left:
                        raise
        raise AssertionError  # the last try returns or raises

    question = ProbeAnswer(About.TIME, "sntp", server, asked=f"{address} port {port}")
    return await bounded(question, look, seconds + 0.5, silence="ntp-no-answer")


async def probe_ntp_server(server: str, servers: Sequence[NameServer], heard: Heard) -> None:
    """Its name, then its clock. `servers` are name servers."""
    names, addresses = await ask_names(About.TIME, server, servers)
    for answer in names:
        heard(answer)
    if addresses:
        heard(await probe_sntp(server, addresses[0]))


def request(nonce: bytes) -> bytes:
    """A client's packet. What stands as its own time is random: servers give it back, and it proves whom they answer
    without telling this machine's time (draft-ietf-ntp-data-minimization)."""
    return _PACKET.pack(_VERSION << 3 | _CLIENT, 0, 0, 0, *([0] * 9), *struct.unpack("!2I", nonce))


def judge(
    question: ProbeAnswer, answer: bytes, sent: float, received: float, tolerance: float = TOLERANCE_SECONDS
) -> ProbeAnswer:
    """`sent` and `received` by this machine's clock."""
    flags, stratum, _, _, *words = _PACKET.unpack_from(answer)
    if flags & 7 != _SERVER:
        return question.failing("ntp-malformed", f"the answer is of mode {flags & 7}, not a server's")
    if stratum == 0:
        code = answer[12:16].decode("ascii", "replace").strip("\0")
        shown = "".join(symbol if symbol.isprintable() else "?" for symbol in code)
        return question.failing("ntp-refused", f"the server refuses to serve this machine (kiss code {shown})")
    if stratum > 15 or flags >> 6 == _ALARM:
        return question.failing("ntp-not-synchronised", "the server says that its own clock is not synchronised")
    middle = (sent + received) / 2
    ahead = middle - (_time(words[7], words[8], middle) + _time(words[9], words[10], middle)) / 2
    told = f"{abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} {question.target} (stratum {stratum})"
    if abs(ahead) > tolerance:
        return question.failing("clock-wrong", f"this machine's clock is {told}")
    return question.passed(f"this machine's clock is {told}")


def _time(seconds: int, fraction: int, near: float) -> float:
    """Seconds since 1970, in the era that is nearest to `near` (they change in 2036)."""
    value = seconds - _SINCE_1900 + fraction / _ERA
    return value + round((near - value) / _ERA) * _ERA
