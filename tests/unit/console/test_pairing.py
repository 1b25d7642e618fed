"""Every answer of a registration, on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey
from sqlalchemy import func, select

from doubles.gateway import ADMIN, ManualClock, create, open_service, registration
from pcg.console import nonces
from pcg.console.configurations import renew_jet_token
from pcg.console.nonces import Nonces
from pcg.console.pairing import Pairing
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry, Gateway, RevokedKey
from pcg.errors import Busy, Conflict, InvalidInput, PcgError, Refused
from pcg.sealing import encoding, pairing_code
from pcg.sealing.boxes import open_sealed, seal
from pcg.sealing.keys import GatewayKeys
from pcg.wire.registration import RegistrationAnswer


@dataclass
class World:
    service: Service
    clock: ManualClock
    pairing: Pairing

    async def register(self, code: str, keys: GatewayKeys, **changed: Any) -> RegistrationAnswer:
        return await self.pairing.register(registration(code, keys, self.pairing.identity(), **changed))

    async def refused(self, code: str, keys: GatewayKeys | None = None, **changed: Any) -> PcgError:
        with pytest.raises(PcgError) as caught:
            await self.register(code, keys or GatewayKeys.generate(), **changed)
        return caught.value

    async def new_code(self, gateway_id: str) -> str:
        return (await self.service.gateways.new_pairing_code(ADMIN, gateway_id)).pairing_code

    async def row(self, gateway_id: str) -> Gateway:
        async with self.service.database.read() as session:
            row = await session.get(Gateway, gateway_id)
            assert row is not None
            return row

    async def audited(self) -> list[tuple[str, str]]:
        async with self.service.database.read() as session:
            entries = await session.scalars(select(AuditEntry).order_by(AuditEntry.position))
            return [(entry.actor, entry.action) for entry in entries]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = ManualClock()
    async with open_service(tmp_path, clock) as service:
        yield World(service, clock, Pairing(service))


async def test_a_code_registers_one_installer(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    answer = await world.register(made.pairing_code, keys)
    assert (answer.gateway_id, answer.gateway_name) == (made.gateway.id, "one")
    assert answer.console_id == world.service.certificates.console_id
    row = await world.row(answer.gateway_id)
    assert (row.signing_key, row.sealing_key) == (keys.public_signing, keys.public_sealing)
    assert (row.registered_at, row.registered_by, row.software) == (world.clock.now(), "appliance", "pcg test")
    assert row.generation == 0
    assert ("installer appliance", "gateway-registered") in await world.audited()

    error = await world.refused(made.pairing_code)
    assert (type(error), error.reason) == (Refused, "pairing-code-used")
    assert error.evidence == ["gateway: one", "used: 2026-06-01 12:00:00 UTC", "by installer: appliance"]


async def test_a_lost_answer_costs_nothing_even_after_the_code_has_expired(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    first = await world.register(made.pairing_code, keys)
    await world.clock.advance(48 * 3600)
    assert await world.register(made.pairing_code, keys) == first
    assert (await world.audited()).count(("installer appliance", "gateway-registered")) == 1


async def test_another_code_of_the_same_gateway_gives_the_same_identity(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    first = await world.register(made.pairing_code, keys)
    code = await world.new_code(made.gateway.id)
    assert await world.register(code, keys) == first
    assert (await world.row(first.gateway_id)).generation == 0
    assert (await world.refused(code)).reason == "pairing-code-used"


async def test_a_code_of_another_gateway_is_not_used_up(world: World):
    one, two, keys = await create(world.service), await create(world.service, "two"), GatewayKeys.generate()
    await world.register(one.pairing_code, keys)
    error = await world.refused(two.pairing_code, keys)
    assert (type(error), error.reason) == (Conflict, "keys-in-use")
    assert error.evidence == ["its keys belong to the gateway: one"]
    assert (await world.register(two.pairing_code, GatewayKeys.generate())).gateway_name == "two"


async def test_of_two_installers_with_one_code_exactly_one_is_registered(world: World):
    made = await create(world.service)
    all_keys = [GatewayKeys.generate() for _ in range(8)]
    results = await asyncio.gather(
        *(world.register(made.pairing_code, keys) for keys in all_keys), return_exceptions=True
    )
    won = [item for item in results if isinstance(item, RegistrationAnswer)]
    assert len(won) == 1
    assert {item.reason for item in results if isinstance(item, PcgError)} == {"pairing-code-used"}
    row = await world.row(made.gateway.id)
    assert row.signing_key == all_keys[results.index(won[0])].public_signing
    async with world.service.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Gateway)) == 1
        assert await session.scalar(select(func.count()).select_from(RevokedKey)) == 0


async def test_the_same_installer_many_times_at_once_is_registered_once(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    answers = await asyncio.gather(*(world.register(made.pairing_code, keys) for _ in range(8)))
    assert len({answer.gateway_id for answer in answers}) == 1
    assert (await world.audited()).count(("installer appliance", "gateway-registered")) == 1


async def test_an_unknown_code(world: World):
    error = await world.refused(pairing_code.generate())
    assert (type(error), error.reason) == (Refused, "pairing-code-unknown")
    assert error.evidence


async def test_an_expired_code_tells_when(world: World):
    made = await create(world.service)
    await world.clock.advance(24 * 3600)
    error = await world.refused(made.pairing_code)
    assert (type(error), error.reason) == (Refused, "pairing-code-expired")
    assert "expires: 2026-06-02 12:00:00 UTC" in error.evidence
    assert "console's time: 2026-06-02 12:00:00 UTC" in error.evidence


async def test_an_operator_may_let_codes_expire_sooner(world: World):
    world.service.gateways.code_lifetime = timedelta(minutes=30)
    made = await create(world.service)
    await world.clock.advance(1800)
    assert (await world.refused(made.pairing_code)).reason == "pairing-code-expired"


async def test_a_replaced_code_counts_as_expired(world: World):
    made = await create(world.service)
    newer = await world.new_code(made.gateway.id)
    error = await world.refused(made.pairing_code)
    assert error.reason == "pairing-code-expired"
    assert any(item.startswith("replaced by a newer code") for item in error.evidence)
    await world.register(newer, GatewayKeys.generate())


@pytest.mark.parametrize("field", ["pairing_signature", "possession_signature", "sealing_key", "signing_key"])
async def test_a_registration_that_was_changed_on_its_way(world: World, field: str):
    made, other = await create(world.service), GatewayKeys.generate()
    changed = {
        "pairing_signature": encoding.encode(bytes(64)),
        "possession_signature": "?",
        "sealing_key": other.public_sealing,
        "signing_key": other.public_signing,
    }
    error = await world.refused(made.pairing_code, **{field: changed[field]})
    assert (type(error), error.reason) == (Refused, "bad-signature")
    assert (await world.row(made.gateway.id)).registered_at is None


async def test_a_registration_made_for_another_console(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    for update in ({"console_id": "another"}, {"identity_key": keys.public_signing}):
        identity = world.pairing.identity().model_copy(update=update)
        with pytest.raises(Refused) as caught:
            await world.pairing.register(registration(made.pairing_code, keys, identity))
        assert caught.value.reason == "bad-signature"


async def test_a_code_that_is_only_known_by_its_public_key_is_worth_nothing(world: World):
    made = await create(world.service)
    public = encoding.encode(bytes(pairing_code.signing_key(made.pairing_code).verify_key))
    error = await world.refused(made.pairing_code, pairing=SigningKey.generate(), pairing_key=public)
    assert error.reason == "bad-signature"


@pytest.mark.parametrize(
    "field,value",
    [
        ("signing_key", "short"),
        ("sealing_key", encoding.encode(bytes(32))),
        ("sealing_key", encoding.encode(b"\x01" + bytes(31))),
        ("pairing_key", "\u00e4" * 43),
    ],
)
async def test_what_is_no_key_is_named(world: World, field: str, value: str):
    made = await create(world.service)
    error = await world.refused(made.pairing_code, **{field: value})
    assert isinstance(error, InvalidInput)
    assert (error.reason, error.field_name) == ("key-invalid", field)


async def test_a_key_has_one_spelling(world: World):
    """Base64 leaves bits free in the last symbol: spelled otherwise, a revoked key would pass for a new one."""
    made, keys = await create(world.service), GatewayKeys.generate()
    spelled = next(
        keys.public_signing[:-1] + symbol
        for symbol in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if symbol != keys.public_signing[-1]
        and encoding.decode(keys.public_signing[:-1] + symbol) == bytes(keys.signing.verify_key)
    )
    assert (await world.refused(made.pairing_code, keys, signing_key=spelled)).reason == "key-invalid"


async def test_no_common_version(world: World):
    made = await create(world.service)
    error = await world.refused(made.pairing_code, versions=(7, 9))
    assert (error.reason, error.evidence[0]) == ("version", "installer: 7 to 9")


async def test_a_nonce_is_good_once_and_for_ten_minutes(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    identity = world.pairing.identity()
    await world.pairing.register(registration(made.pairing_code, keys, identity))
    late = world.pairing.identity()
    foreign = identity.model_copy(update={"nonce": Nonces(world.clock).new()})
    await world.clock.advance(nonces.LIFETIME_SECONDS)
    for stale in (identity, late, foreign, identity.model_copy(update={"nonce": "made-up"})):
        with pytest.raises(Refused) as caught:
            await world.pairing.register(registration(made.pairing_code, keys, stale))
        assert caught.value.reason == "nonce-expired"
        assert caught.value.evidence


async def test_one_nonce_at_the_same_time_passes_once(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    request = registration(made.pairing_code, keys, world.pairing.identity())
    results = await asyncio.gather(*(world.pairing.register(request) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(item, RegistrationAnswer) for item in results) == 1
    assert {item.reason for item in results if isinstance(item, PcgError)} == {"nonce-expired"}


async def test_a_wrong_signature_does_not_use_up_a_nonce(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    identity = world.pairing.identity()
    bad = registration(made.pairing_code, keys, identity, pairing_signature="bad")
    with pytest.raises(Refused):
        await world.pairing.register(bad)
    await world.pairing.register(registration(made.pairing_code, keys, identity))


async def test_used_nonces_are_bounded_and_forgotten_in_time():
    clock = ManualClock()
    bounded = Nonces(clock, maximum_used=3)
    for _ in range(3):
        bounded.use(bounded.new())
        await clock.advance(1)
    with pytest.raises(Busy):
        bounded.use(bounded.new())
    await clock.advance(nonces.LIFETIME_SECONDS - 3)
    bounded.use(bounded.new())


async def test_a_nonce_has_one_spelling():
    made = Nonces(ManualClock())
    nonce = made.new()
    others = [nonce + "=", nonce + "A", nonce[:-1], " " + nonce, nonce.replace("-", "+").replace("_", "/") + "="]
    for other in others:
        with pytest.raises(Refused):
            made.check(other)


async def _configure(world: World, gateway_id: str, keys: GatewayKeys) -> None:
    """As after a configuration with credentials."""
    async with world.service.database.write() as session:
        row = await session.get(Gateway, gateway_id)
        assert row is not None
        row.mode, row.generation = "run", 4
        row.credentials_ciphertext, row.credentials_version = seal(keys.public_sealing, b"secret"), "v1"
        renew_jet_token(row, keys.public_sealing)


async def test_pairing_anew_keeps_the_gateway_and_revokes_the_old_key(world: World):
    made, old, new = await create(world.service), GatewayKeys.generate(), GatewayKeys.generate()
    first = await world.register(made.pairing_code, old)
    await _configure(world, first.gateway_id, old)
    token_before = (await world.row(first.gateway_id)).jet_token_hash

    with world.service.streams.subscribe(first.gateway_id) as news:
        second = await world.register(await world.new_code(first.gateway_id), new)
        assert {"desired", "status"} <= await anext(news)
    assert second == first
    row = await world.row(first.gateway_id)
    assert (row.signing_key, row.sealing_key, row.generation, row.mode) == (
        new.public_signing, new.public_sealing, 5, "run",
    )  # fmt: skip
    assert (row.credentials_ciphertext, row.credentials_version) == (None, None)
    assert row.jet_token_hash != token_before
    assert row.jet_token_sealed is not None
    assert open_sealed(new.opening, row.jet_token_sealed).startswith(b"jet_")
    peer = await world.service.reports.peer(first.gateway_id)
    assert peer is not None
    assert peer.revoked_keys == {old.public_signing}
    assert ("installer appliance", "gateway-paired-anew") in await world.audited()

    error = await world.refused(made.pairing_code, old)
    assert error.reason == "pairing-code-used"
    assert error.evidence[-1] == "since then another installer was paired with this gateway"


async def test_the_old_installer_may_come_back_with_a_code_of_its_own(world: World):
    made, old, new = await create(world.service), GatewayKeys.generate(), GatewayKeys.generate()
    gateway_id = (await world.register(made.pairing_code, old)).gateway_id
    for keys in (new, old, new):
        await world.register(await world.new_code(gateway_id), keys)
    peer = await world.service.reports.peer(gateway_id)
    assert peer is not None
    assert (peer.signing_key, peer.revoked_keys) == (new.public_signing, {old.public_signing})


async def test_an_unused_code_of_a_gateway_that_is_being_deleted(world: World):
    made = await create(world.service)
    gateway_id = (await world.register(made.pairing_code, GatewayKeys.generate())).gateway_id
    code = await world.new_code(gateway_id)
    await world.service.gateways.delete(ADMIN, gateway_id)
    error = await world.refused(code)
    assert (type(error), error.reason) == (Conflict, "deleting")


async def test_a_code_goes_with_its_gateway(world: World):
    made = await create(world.service)
    await world.service.gateways.delete(ADMIN, made.gateway.id)
    assert (await world.refused(made.pairing_code)).reason == "pairing-code-unknown"


async def test_an_installers_odd_name_is_cleaned(world: World):
    made, keys = await create(world.service), GatewayKeys.generate()
    await world.register(made.pairing_code, keys, installer_name="a\x00b\nc", software="\x1b[31mx")
    row = await world.row(made.gateway.id)
    assert (row.registered_by, row.software) == ("abc", "[31mx")
