"""Static addresses over restarts, resets and clocks that jump."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pcg.clouds.base import PowerState
from pcg.gateway.address_claims import AddressClaims
from pcg.gateway.memory import Memory
from pcg.model.address_plan import pool_of
from pcg.model.configuration import parse_configuration
from pcg.model.naming import MARK_ADDRESS
from pcg.model.states import StepName
from unit.gateway.reconciler.life import MoodyCloud, living
from unit.gateway.reconciler.making import THREE, Neighbours, StoreDouble, machine, static

pytestmark = pytest.mark.looptime

ONE = static("127.64.0.20", "127.64.0.23")


async def test_after_a_reset_and_a_restart_another_address_is_given(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    async with living(tmp_path, cloud) as life:
        life.configure(ONE)
        await life.until(life.running)
        (first,) = life.ours()
        assert first.address == first.marks[MARK_ADDRESS] == "127.64.0.20"
        assert life.status.machines[0].address == "127.64.0.20"
        life.reset()
        await life.until(life.clean)
    async with living(tmp_path, cloud) as life:
        life.configure(ONE)
        await life.until(life.running)
        assert [item.address for item in life.ours()] == ["127.64.0.21"]


async def test_when_only_addresses_of_the_just_gone_are_left_it_waits_and_goes_on_by_itself(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        for number in range(21, 24):
            life.neighbours.have(f"127.64.0.{number}")
        life.configure(ONE)
        await life.until(life.running)
        life.reset()
        await life.until(life.clean)
        gone = life.reconciler.clock.monotonic()
        life.configure(ONE)
        await life.until(lambda: "the next is free at" in life.step(StepName.ADDRESSES).task)
        assert life.problem(StepName.ADDRESSES) == ""
        await life.until(life.running)
        assert [item.address for item in life.ours()] == ["127.64.0.20"]
        assert life.reconciler.clock.monotonic() - gone >= 300


async def test_a_control_plane_address_in_use_is_waited_out(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.neighbours.have("127.64.0.9")
        life.configure(THREE)
        await life.until(lambda: life.problem(StepName.ADDRESSES) == "address-in-use")
        assert life.ours() == []
        (told,) = [event for event in life.events() if event.reason == "AddressInUse"]
        assert told.fields["mac"] == "02:00:00:00:00:09"
        life.neighbours.answers.clear()
        await life.until(life.running)


@dataclass
class JumpingClock:
    wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    passed: float = 0.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return self.wall + timedelta(seconds=self.passed)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)], ids=["forward", "back"])
def test_a_clock_that_jumps_frees_nothing_early_and_keeps_nothing_for_ever(jump: timedelta) -> None:
    clock, memory = JumpingClock(), Memory(StoreDouble())
    pool = pool_of(parse_configuration(ONE)[0].network)
    claims = AddressClaims(memory, clock, Neighbours(), lambda owner: owner)
    claims.look([machine(1, power=PowerState.OFF, address="127.64.0.20")], (), pool)
    claims.look([], (), pool)
    clock.wall += jump
    clock.passed += 299
    claims.look([], (), pool)
    assert "127.64.0.20" in claims.book.claims
    clock.passed += 2
    claims.look([], (), pool)
    assert claims.book.claims == {}


def test_a_clock_that_was_set_back_between_two_lives_only_lengthens_the_wait() -> None:
    store, pool = StoreDouble(), pool_of(parse_configuration(ONE)[0].network)
    clock, memory = JumpingClock(), Memory(store)
    claims = AddressClaims(memory, clock, Neighbours(), lambda owner: owner)
    claims.look([machine(1, address="127.64.0.20")], (), pool)
    claims.look([], (), pool)
    clock = JumpingClock(wall=clock.wall - timedelta(days=1))
    claims = AddressClaims(Memory(store), clock, Neighbours(), lambda owner: owner)
    claims.look([], (), pool)
    assert "127.64.0.20" in claims.book.claims
    clock.passed += 300
    claims.look([], (), pool)
    assert claims.book.claims == {}
