"""Passwords as Argon2id hashes, worked out in threads: one takes tens of milliseconds and 64 MiB.

Used by `accounts.py` only. Wrong guesses are slowed down three ways, and each passes by itself within minutes:

    account and address   ten: one person at one place
    address               a hundred: one guesser through many accounts; a whole company may share an address
    account               a hundred: many guessers at one account. From where its owner signed in before it does not
                          count, so that strangers cannot keep the owner out.

An e-mail that nobody has is treated in every way as one that somebody has.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pcg.clock import Clock
from pcg.console.throttling import REMEMBERED, RecentCounts, client_network
from pcg.errors import Busy, InvalidInput

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024

GUESSES = 10
GUESSES_OF_ADDRESS = 100
GUESSES_OF_ACCOUNT = 100
GUESSES_SECONDS = 300.0

MAXIMUM_WAITING = 64
"""passwords that wait to be checked at a time: more would only wait longer than anybody does"""
MAXIMUM_WAITING_OF_ONE = 16
"""of one address"""

_AT_ONCE = 2
_LONGEST_EMAIL = 254


class Passwords:
    def __init__(self, clock: Clock) -> None:
        self._hasher = PasswordHasher()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting: Counter[str] = Counter()
        self._of_both = RecentCounts(clock, most=GUESSES, seconds=GUESSES_SECONDS)
        self._of_address = RecentCounts(clock, most=GUESSES_OF_ADDRESS, seconds=GUESSES_SECONDS)
        self._of_account = RecentCounts(clock, most=GUESSES_OF_ACCOUNT, seconds=GUESSES_SECONDS)
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()
        """account and address of right passwords, the latest last"""
        # Checked against when there is no such account, so that the time does not tell which accounts exist.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Raises InvalidInput for a password that is too short."""
        if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
            raise InvalidInput(
                f"A password has at least {MINIMUM_LENGTH} characters.",
                reason="password-length",
                field_name="password",
                remedy=["Choose a longer one: a few words will do."],
            )
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password_hash: str | None, password: str, email: str, address: str) -> bool:
        """`password_hash` None: there is no such account. Raises Busy after too many wrong guesses."""
        # Cut: what was typed as an e-mail may be as long as a request, and it is remembered.
        account, place = email[:_LONGEST_EMAIL], client_network(address)
        self._slow_down(account, place)
        with self._queueing(place):
            async with self._room:
                # Again: of many guesses at the same moment only those that still have room are tried.
                self._slow_down(account, place)
                hashed = password_hash or self._nobody
                right = await asyncio.to_thread(self._verify, hashed, password[:MAXIMUM_LENGTH])
                right = right and password_hash is not None
                self._remember(account, place, right=right)
        return right

    def _slow_down(self, account: str, place: str) -> None:
        known = (account, place) in self._places
        for what, wait in (
            ("for this account", self._of_both.wait((account, place))),
            ("from this address", self._of_address.wait(place)),
            ("for this account", 0.0 if known else self._of_account.wait(account)),
        ):
            if wait > 0:
                raise Busy(
                    f"Too many wrong passwords {what}.",
                    reason="too-many-guesses",
                    remedy=["Wait some minutes, then try again."],
                    after=wait,
                )

    @contextmanager
    def _queueing(self, place: str) -> Iterator[None]:
        if self._waiting.total() >= MAXIMUM_WAITING or self._waiting[place] >= MAXIMUM_WAITING_OF_ONE:
            raise Busy(
                "Too many people sign in at the moment.",
                reason="busy",
                remedy=["Try again in a moment."],
                after=2.0,
            )
        self._waiting[place] += 1
        try:
            yield
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _remember(self, account: str, place: str, *, right: bool) -> None:
        if not right:
            self._of_both.note((account, place))
            self._of_address.note(place)
            self._of_account.note(account)
            return
        # Of this person only: a right password of one's own does not make one's guesses at others' undone.
        self._of_both.forget((account, place))
        self._places[account, place] = None
        self._places.move_to_end((account, place))
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)
