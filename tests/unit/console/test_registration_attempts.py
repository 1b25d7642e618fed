"""Wrong pairing codes: answered late, cheap for the console, and harmless for everybody else's right one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nacl.signing import SigningKey
from sqlalchemy import event, select

from doubles.gateway import ManualClock, create, open_service, registration
from pcg.console import registration_attempts
from pcg.console.collapsed_audit import MAXIMUM_KINDS
from pcg.console.pairing import Pairing
from pcg.console.registration_attempts import FORGIVEN_SECONDS, FREE, MOST_SECONDS, Attempts
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry
from pcg.errors import Busy, PcgError, Refused
from pcg.sealing import pairing_code
from pcg.sealing.keys import GatewayKeys

HERE = "192.0.2.7"


class HurriedClock(ManualClock):
    """Who sleeps moves the time and goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.advance(seconds)


@dataclass
class World:
    service: Service
    clock: HurriedClock
    pairing: Pairing
    statements: list[str]

    async def wrong(self, address: str = HERE) -> str:
        """What one try with a code that nobody made is told."""
        return await self.refused(pairing_code.generate(), address)

    async def refused(self, code: str, address: str = HERE) -> str:
        request = registration(code, GatewayKeys.generate(), self.pairing.identity())
        with pytest.raises(PcgError) as caught:
            await self.pairing.register(request, address)
        return caught.value.reason

    async def audited(self) -> list[dict[str, object]]:
        await self.service.collapsed.write(everything=True)
        async with self.service.database.read() as session:
            entries = await session.scalars(select(AuditEntry).where(AuditEntry.action == "registration-refused"))
            return [{"gateway": entry.gateway_name, **entry.details} for entry in entries]

    def writes(self) -> list[str]:
        return [item for item in self.statements if item.startswith("BEGIN IMMEDIATE")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = HurriedClock()
    async with open_service(tmp_path, clock) as service:
        statements: list[str] = []
        event.listen(
            service.database.engine.sync_engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, *rest: statements.append(statement),
        )
        yield World(service, clock, Pairing(service), statements)


async def test_after_a_thousand_wrong_codes_the_right_one_registers(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    before, told = len(world.writes()), set()
    for number in range(1_000):
        # Half of them from one address, the others from everywhere.
        address = HERE if number % 2 else f"198.18.{number // 256}.{number % 256}"
        request = registration("", keys, world.pairing.identity(), pairing=SigningKey.generate())
        with pytest.raises(Refused) as caught:
            await world.pairing.register(request, address)
        told.add(caught.value.reason)
        if number == 20:
            assert world.writes()[before:] == [], "a wrong code costs no writing transaction"
        if number % 100 == 99:
            await world.service.collapsed.write()  # as its task does every second
    assert told == {"pairing-code-unknown"}
    assert sum(world.clock.slept) > 400 * MOST_SECONDS
    assert world.pairing._nonces._used == {}
    assert len(world.pairing._attempts._levels) == 501

    slept = len(world.clock.slept)
    answer = await world.pairing.register(registration(made.pairing_code, keys, world.pairing.identity()), HERE)
    assert answer.gateway_id == made.gateway.id
    assert len(world.clock.slept) == slept, "a right code waits for nobody"

    minutes = (world.clock.monotonic() - 1000) / 60
    rows = await world.audited()
    assert sum(int(str(row["count"])) for row in rows) == 1_000
    assert len([row for row in rows if row["address"] == HERE]) <= minutes + 1
    assert len(rows) <= (minutes + 1) * (MAXIMUM_KINDS + 1)
    assert len(world.service.collapsed._kept) <= MAXIMUM_KINDS + 1


async def test_refusals_of_one_address_are_told_later_and_later(world: World):
    for _ in range(FREE):
        await world.wrong()
    assert world.clock.slept == []
    for _ in range(8):
        await world.wrong()
    assert [round(seconds, 1) for seconds in world.clock.slept] == [0.1, 0.2, 0.4, 0.8, 1.4, 2.6, 3.0, 3.0]
    await world.wrong("192.0.2.8")
    assert len(world.clock.slept) == 8, "another address waits for nobody"
    await world.clock.advance(20 * FORGIVEN_SECONDS)
    await world.wrong()
    assert len(world.clock.slept) == 8, "in time all is forgiven"


async def test_an_ipv6_neighbour_is_the_same_guesser(world: World):
    for number in range(FREE + 1):
        await world.wrong(f"2001:db8::{number:x}")
    assert len(world.clock.slept) == 1
    await world.wrong("2001:db8:0:1::1")
    assert len(world.clock.slept) == 1


async def test_no_kind_of_refusal_writes_or_uses_up_a_code(world: World):
    good, used = await create(world.service), await create(world.service, "two")
    keys = GatewayKeys.generate()
    await world.pairing.register(registration(used.pairing_code, keys, world.pairing.identity()))
    world.statements.clear()
    for _ in range(3):
        assert await world.refused(used.pairing_code) == "pairing-code-used"
        request = registration(good.pairing_code, GatewayKeys.generate(), world.pairing.identity())
        with pytest.raises(PcgError) as caught:
            await world.pairing.register(request.model_copy(update={"pairing_signature": "bad"}), HERE)
        assert caught.value.reason == "bad-signature"
        with pytest.raises(PcgError) as caught:
            await world.pairing.register(registration(good.pairing_code, keys, world.pairing.identity()), HERE)
        assert caught.value.reason == "keys-in-use"
    assert world.writes() == []
    await world.pairing.register(registration(good.pairing_code, GatewayKeys.generate(), world.pairing.identity()))


async def test_a_registration_repeated_for_ever_waits_like_a_refusal(world: World):
    """A lost answer costs nothing, but a gateway that asks on and on must not fill the memory of used nonces."""
    made, keys = await create(world.service), GatewayKeys.generate()
    for _ in range(FREE + 3):
        await world.pairing.register(registration(made.pairing_code, keys, world.pairing.identity()), HERE)
    assert len(world.clock.slept) == 2


async def test_every_refusal_is_in_the_audit(world: World):
    one, two = await create(world.service), await create(world.service, "two")
    keys = GatewayKeys.generate()
    await world.pairing.register(registration(one.pairing_code, keys, world.pairing.identity()), HERE)
    for _ in range(3):
        await world.wrong()
    await world.refused(one.pairing_code)
    stale = world.pairing.identity().model_copy(update={"nonce": "of another console"})
    with pytest.raises(Refused):
        await world.pairing.register(registration(two.pairing_code, keys, stale), HERE)
    nasty = registration(two.pairing_code, keys, world.pairing.identity(), installer_name="x\n<b>\x1b" + "yy")
    with pytest.raises(PcgError):
        await world.pairing.register(nasty, "192.0.2.8")
    assert await world.audited() == [
        {"gateway": None, "reason": "pairing-code-unknown", "address": HERE, "installer": "appliance", "count": 3},
        {"gateway": "one", "reason": "pairing-code-used", "address": HERE, "installer": "appliance", "count": 1},
        {"gateway": None, "reason": "nonce-expired", "address": HERE, "installer": "appliance", "count": 1},
        {"gateway": "two", "reason": "keys-in-use", "address": "192.0.2.8", "installer": "x<b>yy", "count": 1},
    ]  # fmt: skip


# The waiting itself.


async def _waiting(attempts: Attempts, address: str, number: int) -> list[asyncio.Task[None]]:
    """So many refusals whose answers wait."""
    for _ in range(FREE):
        await attempts.slow_down(address)
    tasks = [asyncio.create_task(attempts.slow_down(address)) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_answers_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registration_attempts, "MAXIMUM_WAITING_OF_ONE", 3)
    monkeypatch.setattr(registration_attempts, "MAXIMUM_WAITING", 5)
    clock = ManualClock()
    attempts = Attempts(clock)
    mine = await _waiting(attempts, HERE, 4)
    with pytest.raises(Busy) as caught:
        await mine.pop()
    assert caught.value.after == MOST_SECONDS
    others = await _waiting(attempts, "192.0.2.8", 3)
    with pytest.raises(Busy):
        await others.pop()
    await clock.advance(MOST_SECONDS)
    await asyncio.gather(*mine, *others)
    assert attempts._waiting == {}


async def test_who_is_remembered_is_bounded():
    clock = ManualClock()
    attempts = Attempts(clock, remembered=100)
    for number in range(1000):
        await attempts.slow_down(f"198.18.{number // 256}.{number % 256}")
    assert len(attempts._levels) == 100


async def test_codes_are_looked_up_in_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registration_attempts, "MAXIMUM_LOOKED_UP_OF_ONE", 6)
    attempts, release, most, now = Attempts(ManualClock()), asyncio.Event(), 0, 0

    async def look() -> None:
        nonlocal most, now
        async with attempts.looking_up(HERE):
            now += 1
            most = max(most, now)
            await release.wait()
            now -= 1

    tasks = [asyncio.create_task(look()) for _ in range(7)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await tasks.pop()
    release.set()
    await asyncio.gather(*tasks)
    assert (most, attempts._looking) == (4, {})
