"""The rules of claims: never twice, kept five minutes after the machine is gone, whatever the clock does."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pcg.gateway.address_pool import QUARANTINE, AddressBook, Claim, Stranger
from pcg.model.address_plan import Pool

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, LAST = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.8")
POOL = Pool(FIRST, LAST, ipaddress.ip_network("10.0.0.0/24"), frozenset())
ADDRESSES = list(POOL.addresses())


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_an_address_is_free_five_minutes_after_nobody_has_it_any_more() -> None:
    book = AddressBook()
    assert book.look({"10.0.0.1": "1/1"}, NOW)
    assert not book.look({"10.0.0.1": "1/1"}, NOW + minutes(60))
    gone = NOW + minutes(61)
    book.look({}, gone)
    assert book.next_release(POOL) == gone + QUARANTINE
    book.look({}, gone + minutes(4.9))
    assert "10.0.0.1" not in book.candidates(POOL, 8)
    book.look({}, gone + minutes(5))
    assert book.candidates(POOL, 1) == ["10.0.0.1"]
    assert book.next_release(POOL) is None


def test_a_machine_that_is_seen_again_has_its_address() -> None:
    book = AddressBook()
    book.look({"10.0.0.1": "1/1"}, NOW)
    book.look({}, NOW)
    book.look({"10.0.0.1": "1/1"}, NOW + minutes(4))
    book.look({}, NOW + minutes(8))
    book.look({}, NOW + minutes(12))
    assert "10.0.0.1" in book.claims


def test_a_time_to_come_is_a_clocks_mistake_and_counts_from_now_on() -> None:
    book = AddressBook(claims={"10.0.0.1": Claim(owner="1/1", gone_since=NOW + minutes(1000))})
    book.strangers["10.0.0.2"] = Stranger(seen=NOW + minutes(1000), evidence="seen")
    book.look({}, NOW)
    assert book.next_release(POOL) == NOW + QUARANTINE
    book.look({}, NOW + QUARANTINE)
    assert (book.claims, book.strangers) == ({}, {})


def test_what_strangers_have_is_asked_for_again_after_a_while() -> None:
    book = AddressBook(strangers={"10.0.0.1": Stranger(seen=NOW, evidence="seen")})
    assert book.candidates(POOL, 1) == ["10.0.0.2"]
    book.look({}, NOW + QUARANTINE)
    assert book.candidates(POOL, 1) == ["10.0.0.1"]


def test_a_claim_outside_of_the_pool_is_not_waited_for() -> None:
    book = AddressBook(claims={"10.9.0.1": Claim(owner="1/1", gone_since=NOW)})
    assert book.next_release(POOL) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "remove", "restart"]),
        st.integers(0, 7),
        st.floats(0, 7),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_address_is_given_twice_or_too_early(steps: list[tuple[str, int, float]]) -> None:
    book, now = AddressBook(), NOW
    machines: dict[str, str] = {}
    gone: dict[str, datetime] = {}
    for number, (what, which, passed) in enumerate(steps):
        now += minutes(passed)
        if what == "restart":
            book = AddressBook.model_validate_json(book.model_dump_json())
        elif what == "remove" and machines:
            owner = sorted(machines)[which % len(machines)]
            gone[machines.pop(owner)] = now
        book.look({address: owner for owner, address in machines.items()}, now)
        if what == "make":
            for address in book.candidates(POOL, 1):
                assert address not in machines.values()
                assert address not in gone or now - gone[address] >= QUARANTINE
                machines[f"1/{number}"] = address
                book.claim(address, f"1/{number}")


@given(STEPS)
def test_in_the_end_every_address_is_free_again(steps: list[tuple[str, int, float]]) -> None:
    book, now = AddressBook(), NOW
    for _, which, passed in steps:
        # Also with a clock that goes back.
        now += minutes(passed - 3)
        book.look({ADDRESSES[which]: "1/1"}, now)
    book.look({}, now)
    book.look({}, now + QUARANTINE)
    assert book.candidates(POOL, 8) == ADDRESSES
