"""The console's CA is followed by the next one: whose certificates prove what to whom, and when it is time."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from doubles.gateway import ADMIN, GatewayDouble, ManualClock, create
from pcg.console import ca_rotation
from pcg.console.authorities import NEXT, OLD, PRESENT, make_next, open_authorities, pem_of, pin_of, switch
from pcg.console.ca_rotation import Watch, begin, finish, standing
from pcg.console.certificates import Certificates, open_certificates
from pcg.console.hub import Hub
from pcg.console.service import Service
from pcg.console.store.database import Database, sqlite_url
from pcg.console.store.models import AuditEntry, Gateway
from pcg.errors import InvalidInput
from pcg.model.records import GatewayStatus
from pcg.network.pins import pinned_certificate, spki_pins
from pcg.network.trust import Trust
from pcg.wire import frames

HOSTS = {"localhost"}
TODAY = datetime.now(UTC).replace(microsecond=0)
"""OpenSSL looks at the machine's own clock"""


def _open(data: Path, now: datetime = TODAY) -> Certificates:
    return open_certificates(data, HOSTS, now)


def _accepts(trusted: str, served: Certificates) -> bool:
    """A true TLS handshake, in memory: whether a client that trusts `trusted` alone accepts what is served."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(served.chain, served.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = Trust.only_ca(trusted).context().wrap_bio(to_client, to_server, server_hostname="localhost")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs) * 4:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


def _turn(data: Path, now: datetime = TODAY) -> None:
    switch(data, pin_of(make_next(data, now).certificate))


def test_before_and_after_the_change_old_and_new_clients_get_through(tmp_path: Path):
    first = _open(tmp_path)
    assert (first.console_ca, first.old_ca_pem) == (None, "")
    following = make_next(tmp_path, TODAY)
    assert make_next(tmp_path, TODAY).certificate == following.certificate
    told = _open(tmp_path)
    assert told.console_ca is not None
    assert spki_pins(told.console_ca) == [first.pin, pin_of(following.certificate)]
    assert (told.pin, told.old_ca_pem) == (first.pin, "")
    assert _accepts(first.ca_pem, told)
    assert not _accepts(pem_of(following.certificate), told)
    assert _accepts(told.console_ca, told)

    switch(tmp_path, pin_of(following.certificate))
    after = _open(tmp_path)
    assert after.pin == pin_of(following.certificate)
    assert after.console_ca == after.ca_pem
    for trusted in (first.ca_pem, after.ca_pem, told.console_ca):
        assert _accepts(trusted, after)
    stranger = _open(tmp_path / "another console")
    assert not _accepts(stranger.ca_pem, after)
    # A code that was handed out with either pin is good.
    served = after.ca_pem + after.old_ca_pem
    assert pinned_certificate(served, first.pin) == first.ca_pem
    assert pinned_certificate(served, after.pin) == after.ca_pem
    assert "PRIVATE" not in served + (tmp_path / OLD).read_text()
    assert not (tmp_path / NEXT).exists()


def test_two_changes_leave_nobody_behind(tmp_path: Path):
    pems = [_open(tmp_path).ca_pem]
    for _ in range(2):
        _turn(tmp_path)
        pems.append(_open(tmp_path).ca_pem)
    assert len(set(pems)) == 3
    assert [_accepts(pem, _open(tmp_path)) for pem in pems] == [True, True, True]


def test_who_knows_only_a_ca_that_has_ended_is_left_behind(tmp_path: Path):
    """OpenSSL's clock cannot be moved, so the first CA was made long ago."""
    long_ago = TODAY - timedelta(days=20 * 365 + 1)
    ended = _open(tmp_path, long_ago)
    _turn(tmp_path)
    opened = _open(tmp_path)
    assert opened.old_ca_pem == ""
    assert opened.console_ca == opened.ca_pem
    assert _accepts(opened.ca_pem, opened)
    assert not _accepts(ended.ca_pem, opened)


def test_the_way_to_an_old_ca_is_no_longer_served_when_that_ends(tmp_path: Path):
    nearly = TODAY - timedelta(days=20 * 365 - 10)
    _open(tmp_path, nearly)
    _turn(tmp_path)
    assert _open(tmp_path).chain.read_text().count("BEGIN") == 2
    crossed = _open(tmp_path).chain.read_text()
    later = _open(tmp_path, TODAY + timedelta(days=11))
    assert later.chain.read_text() != crossed
    assert later.ca_pem in later.chain.read_text()
    assert later.old_ca_pem == ""


def test_a_kill_in_the_middle_of_the_change_leaves_the_present_one(tmp_path: Path):
    first = _open(tmp_path)
    following = make_next(tmp_path, TODAY)
    # What `switch` writes before its one rename.
    (tmp_path / OLD).write_text(first.ca_pem)
    opened = _open(tmp_path)
    assert (opened.pin, opened.old_ca_pem) == (first.pin, "")
    switch(tmp_path, pin_of(following.certificate))
    assert open_authorities(tmp_path, TODAY).old[0].fingerprint
    assert len(open_authorities(tmp_path, TODAY).old) == 1
    switch(tmp_path, pin_of(following.certificate))
    assert _open(tmp_path).pin == pin_of(following.certificate)


@pytest.mark.parametrize("name", [NEXT, OLD])
def test_damage_is_told(tmp_path: Path, name: str):
    _open(tmp_path)
    (tmp_path / name).write_text("damaged")
    with pytest.raises(InvalidInput) as caught:
        _open(tmp_path)
    assert name in caught.value.what
    assert name in caught.value.remedy[-1]


def test_a_key_of_another_ca_is_damage(tmp_path: Path):
    _open(tmp_path)
    make_next(tmp_path, TODAY)
    key = (tmp_path / NEXT).read_text().partition("-----BEGIN CERTIFICATE-----")[0]
    certificate = (tmp_path / PRESENT).read_text().partition("-----BEGIN CERTIFICATE-----")[2]
    (tmp_path / PRESENT).write_text(f"{key}-----BEGIN CERTIFICATE-----{certificate}")
    with pytest.raises(InvalidInput):
        _open(tmp_path)


# The rules, on a real store and a clock that is moved.


class World:
    def __init__(self, folder: Path, service: Service, clock: ManualClock) -> None:
        self.folder, self.service, self.clock = folder, service, clock
        files = [folder / name for name in (PRESENT, NEXT, OLD)]
        self.watch = Watch(service, lambda: open_certificates(folder, HOSTS, clock.now()), folder, files, clock)

    async def pass_days(self, days: float) -> None:
        await self.clock.advance(days * 86400)
        await self.watch.look()

    async def actions(self) -> list[str]:
        async with self.service.database.read() as session:
            actions = list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.position)))
        return [action for action in actions if action.startswith("ca-")]

    @property
    def pin(self) -> str:
        return self.service.certificates.pin

    async def seen(self, gateway_id: str, *trusts: str) -> None:
        """What a session leaves in the store."""
        async with self.service.database.write() as session:
            row = await session.get(Gateway, gateway_id)
            assert row is not None
            row.status_at = row.last_seen = self.clock.now()
            row.status = GatewayStatus(generation=0, incarnation=1, trusts=list(trusts)).model_dump(mode="json")


@contextlib.asynccontextmanager
async def _world(folder: Path, age_days: float) -> AsyncIterator[World]:
    """A console whose CA was made so many days ago."""
    clock = ManualClock()
    open_certificates(folder, HOSTS, clock.now() - timedelta(days=age_days))
    database = Database(sqlite_url(folder / "console.db"))
    await database.migrate()
    certificates = open_certificates(folder, HOSTS, clock.now())
    service = Service(database, certificates, "https://console.test", clock)
    try:
        yield World(folder, service, clock)
    finally:
        service.streams.close()
        await database.close()


YEARS = 20 * 365.0


async def test_a_year_before_its_end_the_next_one_is_made_and_a_week_later_it_takes_over(tmp_path: Path):
    async with _world(tmp_path, YEARS - 367) as world:
        await world.watch.look()
        first = world.pin
        await world.pass_days(1.5)
        assert await world.actions() == []
        await world.pass_days(1)
        assert await world.actions() == ["ca-next-made"]
        assert world.pin == first
        await world.pass_days(6.5)
        assert world.pin == first
        await world.pass_days(1)
        assert await world.actions() == ["ca-next-made", "ca-switched"]
        assert world.pin != first
        assert world.service.reports.console_ca == world.service.certificates.ca_pem
        # What people are shown from now on.
        made = await create(world.service, "shown")
        assert made.ca_pin == world.pin
        assert world.pin in made.install_command
        await world.pass_days(400)
        assert len(await world.actions()) == 2


async def test_gateways_that_were_seen_lately_are_waited_for(tmp_path: Path):
    async with _world(tmp_path, 10) as world:
        gateway = (await GatewayDouble.registered(world.service, Hub(world.service))).gateway_id
        away = (await GatewayDouble.registered(world.service, Hub(world.service), "away")).gateway_id
        await world.watch.look()
        first = world.pin
        await begin(world.service.database, tmp_path, world.clock.now())
        for _ in range(4):
            await world.pass_days(9)
            await world.seen(gateway, first)
        assert world.pin == first
        stands = await standing(world.service.database, tmp_path, world.clock.now())
        assert (stands.untold.seen_lately, stands.untold.away) == (("one",), ("away",))
        assert stands.next_pin is not None
        await world.seen(gateway, first, stands.next_pin)
        await world.pass_days(1)
        assert world.pin == stands.next_pin
        async with world.service.database.read() as session:
            entry = await session.scalar(select(AuditEntry).where(AuditEntry.action == "ca-switched"))
        assert entry is not None
        assert (entry.details["untold"], entry.details["old_pin"]) == (["away"], first)
        assert away


async def test_a_month_before_the_end_nobody_is_waited_for(tmp_path: Path):
    async with _world(tmp_path, YEARS - 200) as world:
        gateway = (await GatewayDouble.registered(world.service, Hub(world.service))).gateway_id
        await world.watch.look()
        first = world.pin
        for days in (29, 29, 29, 29, 29, 24):
            await world.pass_days(days)
            await world.seen(gateway, first)
        assert world.pin == first
        await world.pass_days(2)
        assert world.pin != first


async def test_a_console_that_slept_over_its_cas_end_gets_a_new_one_at_once(tmp_path: Path):
    async with _world(tmp_path, YEARS + 5) as world:
        first = world.pin
        await world.watch.look()
        assert await world.actions() == ["ca-next-made", "ca-switched"]
        assert world.pin != first
        assert world.service.certificates.old_ca_pem == ""


async def test_what_the_command_wrote_is_noticed_at_the_next_look(tmp_path: Path):
    async with _world(tmp_path, 10) as world:
        await world.watch.look()
        first = world.pin
        await begin(world.service.database, tmp_path, world.clock.now())
        await world.pass_days(1 / 1440)
        assert world.service.reports.console_ca is not None
        await finish(world.service.database, tmp_path, world.clock.now())
        await world.pass_days(1 / 1440)
        assert world.pin != first
        assert await world.actions() == ["ca-next-made", "ca-switched"]


async def test_a_look_without_change_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with _world(tmp_path, 10) as world:
        await world.watch.look()
        monkeypatch.setattr(ca_rotation, "open_authorities", None)
        await world.pass_days(0.9)
        with pytest.raises(TypeError):
            await world.pass_days(0.2)


async def test_every_connected_gateway_is_told_also_one_of_which_nothing_is_wanted(tmp_path: Path):
    async with _world(tmp_path, 10) as world:
        await world.watch.look()
        hub = Hub(world.service)
        pending = await GatewayDouble.registered(world.service, hub, "pending")
        deleting = await GatewayDouble.registered(world.service, hub, "deleting")
        await pending.connect()
        await deleting.connect()
        await world.service.gateways.delete(ADMIN, deleting.gateway_id)
        assert (await deleting.expect(frames.Desired)).state.console_ca is None
        await begin(world.service.database, tmp_path, world.clock.now())
        await world.pass_days(1 / 14400)
        for gateway, mode in ((pending, "idle"), (deleting, "delete")):
            state = (await gateway.expect(frames.Desired)).state
            assert (state.mode, state.console_ca) == (mode, world.service.certificates.console_ca)
            await gateway.leave()


async def test_a_gateway_that_was_deleted_by_force_is_told_too(tmp_path: Path):
    async with _world(tmp_path, 10) as world:
        hub = Hub(world.service)
        gateway = await GatewayDouble.registered(world.service, hub)
        await world.service.gateways.delete(ADMIN, gateway.gateway_id, force=True)
        await begin(world.service.database, tmp_path, world.clock.now())
        await world.watch.look()
        await gateway.connect()
        state = (await gateway.expect(frames.Desired)).state
        assert (state.mode, state.console_ca) == ("delete", world.service.certificates.console_ca)
        await gateway.leave()
