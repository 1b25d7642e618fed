"""Guessing passwords: slowed down per account and address, never for good, and told in the same way for everybody."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from doubles.gateway import ManualClock
from pcg.console import passwords as passwords_module
from pcg.console.passwords import (
    GUESSES,
    GUESSES_OF_ACCOUNT,
    GUESSES_OF_ADDRESS,
    GUESSES_SECONDS,
    MAXIMUM_WAITING,
    MAXIMUM_WAITING_OF_ONE,
    Passwords,
)
from pcg.console.throttling import RecentCounts, client_network
from pcg.errors import Busy

RIGHT = "correct horse battery"
OWNER = "owner@example.com"


class Guard:
    """Passwords with one account, and how each guess was answered."""

    def __init__(self, clock: ManualClock) -> None:
        self.passwords = Passwords(clock)
        self._hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(RIGHT)

    async def ask(self, email: str, password: str, address: str) -> str:
        known = self._hash if email == OWNER else None
        try:
            return "right" if await self.passwords.fits(known, password, email, address) else "wrong"
        except Busy as busy:
            assert 0 < (busy.after or 0) <= GUESSES_SECONDS
            return busy.reason


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def guard(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Guard:
    # The same hash with the least work: what a password costs is not what these tests are about.
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords_module, "PasswordHasher", lambda: cheap)
    return Guard(clock)


@pytest.mark.parametrize("email", [OWNER, "nobody@example.com"])
async def test_wrong_guesses_are_slowed_down_and_never_for_good(guard: Guard, clock: ManualClock, email: str):
    told = [await guard.ask(email, "a wrong guess", "192.0.2.1") for _ in range(GUESSES + 3)]
    assert told == ["wrong"] * GUESSES + ["too-many-guesses"] * 3
    assert await guard.ask(email, RIGHT, "192.0.2.1") == "too-many-guesses"
    assert await guard.ask(email, RIGHT, "192.0.2.2") == ("right" if email == OWNER else "wrong")
    # However long it was tried: some minutes later the owner is let in.
    await clock.advance(GUESSES_SECONDS)
    assert await guard.ask(email, RIGHT, "192.0.2.1") == ("right" if email == OWNER else "wrong")


async def test_a_right_password_begins_anew(guard: Guard):
    for _ in range(3):
        told = [await guard.ask(OWNER, "a wrong guess", "192.0.2.1") for _ in range(GUESSES - 1)]
        assert [*told, await guard.ask(OWNER, RIGHT, "192.0.2.1")] == ["wrong"] * (GUESSES - 1) + ["right"]


async def test_one_address_cannot_go_through_all_accounts(guard: Guard, clock: ManualClock):
    told = [await guard.ask(f"user-{number}@example.com", RIGHT, "2001:db8::1") for number in range(GUESSES_OF_ADDRESS)]
    assert set(told) == {"wrong"}
    assert await guard.ask(OWNER, RIGHT, "2001:db8::2") == "too-many-guesses", "its neighbour is the same one"
    assert await guard.ask(OWNER, RIGHT, "2001:db8:0:1::1") == "right"
    await clock.advance(GUESSES_SECONDS)
    assert await guard.ask(OWNER, RIGHT, "2001:db8::1") == "right"


async def test_many_addresses_cannot_guess_one_account_nor_lock_its_owner_out(guard: Guard, clock: ManualClock):
    assert await guard.ask(OWNER, RIGHT, "192.0.2.1") == "right"
    told = [await guard.ask(OWNER, "a guess", f"198.51.100.{number}") for number in range(GUESSES_OF_ACCOUNT + 9)]
    assert told == ["wrong"] * GUESSES_OF_ACCOUNT + ["too-many-guesses"] * 9
    assert await guard.ask(OWNER, RIGHT, "203.0.113.1") == "too-many-guesses", "from where nobody knows the owner"
    assert await guard.ask(OWNER, RIGHT, "192.0.2.1") == "right", "from where the owner signed in before"
    await clock.advance(GUESSES_SECONDS)
    assert await guard.ask(OWNER, RIGHT, "203.0.113.1") == "right"


async def test_guesses_at_the_same_moment_gain_nothing(guard: Guard):
    told = await asyncio.gather(*(guard.ask(OWNER, "a wrong guess", "192.0.2.1") for _ in range(16)))
    assert GUESSES <= told.count("wrong") <= GUESSES + 1
    assert set(told) == {"wrong", "too-many-guesses"}


async def test_those_who_wait_are_bounded(guard: Guard, monkeypatch: pytest.MonkeyPatch):
    go_on = threading.Event()

    def slow(password_hash: str, password: str) -> bool:
        assert go_on.wait(10)
        return False

    monkeypatch.setattr(guard.passwords, "_verify", slow)
    waiting = []
    for place in range(MAXIMUM_WAITING // MAXIMUM_WAITING_OF_ONE):
        address = f"192.0.2.{place}"
        for number in range(MAXIMUM_WAITING_OF_ONE):
            waiting.append(asyncio.create_task(guard.ask(f"{number}@example.com", "x", address)))
        await asyncio.sleep(0)
        assert await guard.ask("one-too-many@example.com", "x", address) == "busy"
    assert await guard.ask("one-too-many@example.com", "x", "192.0.2.99") == "busy"
    go_on.set()
    assert set(await asyncio.gather(*waiting)) == {"wrong"}
    assert guard.passwords._waiting == {}
    assert await guard.ask("one-too-many@example.com", "x", "192.0.2.99") == "wrong"


async def test_what_is_remembered_is_bounded(guard: Guard, clock: ManualClock):
    await guard.ask("x" * 1_000_000, "a wrong guess", "192.0.2.1")
    ((email, _),) = guard.passwords._of_both._times
    assert len(email) == 254

    counts = RecentCounts(clock, most=3, seconds=60, remembered=100)
    for number in range(1000):
        counts.note("the one that matters")
        counts.note(number)
    assert len(counts) == 100
    assert counts.wait("the one that matters") == 60
    assert len(counts._times["the one that matters"]) == 3
    await clock.advance(60)
    assert counts.wait("the one that matters") == 0


@pytest.mark.parametrize(
    "address,network",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
        ("no address" * 10, ("no address" * 10)[:64]),
    ],
)
def test_whom_an_address_is_counted_for(address: str, network: str):
    assert client_network(address) == network
