"""Who may look at the installer's own page: one password, sessions in memory, guesses slowed down.

A wrong password costs its network one of ten tries in five minutes; nobody else is slowed down by it, so a stranger
cannot keep the administrator out. How many are checked at a time is bounded, since each takes 19 MiB. Sessions end with
the process, after twelve hours, when the person signs out, and when the password is changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from pcg.clock import Clock
from pcg.errors import Busy, CredentialsRejected
from pcg.gateway.monitor.first_boot import FirstBoot

COOKIE = "__Host-pcg_monitor"
CSRF_FIELD = "csrf"

GUESSES = 10
GUESSES_SECONDS = 300.0
SESSION_SECONDS = 12 * 3600

_SESSIONS = 64
_NETWORKS = 10_000
_WAITING = 8
"""passwords that wait to be checked"""


@dataclass(frozen=True)
class Session:
    csrf: str
    password: str
    """hash of the password that opened it: another password ends it"""
    until: float
    """monotonic seconds"""


class SignIn:
    """`entered` is called after each right password."""

    def __init__(self, kept: FirstBoot, clock: Clock, entered: Callable[[], None] = lambda: None) -> None:
        self._kept = kept
        self._clock = clock
        self._entered = entered
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._room = asyncio.Semaphore(1)
        self._waiting = 0

    def password_made(self) -> bool:
        return self._kept.password_hash() is not None

    async def enter(self, typed: str, address: str) -> str:
        """The new session's token. Raises CredentialsRejected, and Busy after too many wrong passwords."""
        network = network_of(address)
        self._slow_down(network)
        if self._waiting >= _WAITING:
            raise Busy("Too many sign in at the moment.", "busy", remedy=["Try again in a moment."], after=2.0)
        self._waiting += 1
        try:
            async with self._room:
                # Again: of many guesses at the same moment only those that still have room are tried.
                self._slow_down(network)
                kept = self._kept.password_hash()
                right = kept is not None and await asyncio.to_thread(self._kept.fits, typed, kept)
                if not right:
                    self._note(network)
        finally:
            self._waiting -= 1
        if kept is None or not right:
            raise CredentialsRejected(
                "That is not the password of this machine's page.",
                reason="wrong-password",
                remedy=[
                    "It was shown on this machine's screen at its first boot.",
                    "On the machine itself, `pcg monitor reset-password` makes and shows another one.",
                ],
            )
        self._wrong.pop(network, None)
        self._entered()
        token = secrets.token_urlsafe(32)
        until = self._clock.monotonic() + SESSION_SECONDS
        self._sessions[_digest(token)] = Session(secrets.token_urlsafe(32), kept, until)
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def session(self, token: str) -> Session | None:
        found = self._sessions.get(_digest(token))
        if found is None:
            return None
        if self._clock.monotonic() >= found.until or self._kept.password_hash() != found.password:
            del self._sessions[_digest(token)]
            return None
        return found

    def leave(self, token: str) -> None:
        self._sessions.pop(_digest(token), None)

    def _slow_down(self, network: str) -> None:
        times, now = self._wrong.get(network), self._clock.monotonic()
        while times and now - times[0] >= GUESSES_SECONDS:
            times.popleft()
        if times and len(times) >= GUESSES:
            raise Busy(
                "Too many wrong passwords from this address.",
                reason="too-many-guesses",
                remedy=["Wait some minutes, then try again."],
                after=GUESSES_SECONDS - (now - times[0]),
            )

    def _note(self, network: str) -> None:
        self._wrong.setdefault(network, deque(maxlen=GUESSES)).append(self._clock.monotonic())
        self._wrong.move_to_end(network)
        if len(self._wrong) > _NETWORKS:
            self._wrong.popitem(last=False)


def same(left: str, right: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


def network_of(address: str) -> str:
    """Whom an address is counted for. Whoever has one IPv6 address has the 2^64 beside it as well."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)


def _digest(token: str) -> str:
    """So that looking one up tells nothing about another."""
    return hashlib.sha256(token.encode()).hexdigest()
