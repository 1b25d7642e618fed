"""Sessions: who may speak, whose term counts, what is told, and how each ends. Real store, no socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event

from doubles.gateway import ADMIN, GatewayDouble, ManualClock, line, registration
from pcg.console import hub as hub_module
from pcg.console.hub import Hub
from pcg.console.pairing import Pairing
from pcg.console.service import Service
from pcg.console.session import HANDSHAKE_SECONDS, Session
from pcg.console.store.models import Gateway
from pcg.model.records import GatewayStatus, MachineReport
from pcg.model.states import MachineRole, MachineState
from pcg.sealing import signatures
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames

# Who may speak.


async def test_a_session_begins_tells_what_is_stored_and_ends(service: Service, gateway: GatewayDouble):
    welcome = await gateway.connect()
    assert (welcome.term, welcome.stored, welcome.time) == (1, {}, service.clock.now())
    assert service.presence.connected(gateway.gateway_id)
    assert (await gateway.report(1, 2)).stored == {"writer-1": 2}
    await gateway.leave()
    assert not service.presence.connected(gateway.gateway_id)
    async with service.database.read() as session:
        row = await session.get(Gateway, gateway.gateway_id)
        assert row is not None
        assert row.last_seen == service.clock.now()

    welcome = await gateway.connect()
    assert (welcome.term, welcome.stored) == (1, {"writer-1": 2})
    assert (await gateway.report(1, 2, 3)).stored == {"writer-1": 3}
    page = await service.observations.events(ADMIN, gateway.gateway_id, limit=10)
    assert [item.message for item in page.items] == ["event 1", "event 2", "event 3"]
    await gateway.leave()


async def test_wrong_keys_are_refused_but_not_for_good(gateway: GatewayDouble):
    gateway.open()
    refusal = await gateway.prove(keys=GatewayKeys.generate())
    assert isinstance(refusal, frames.Refusal)
    assert (refusal.reason, refusal.final) == ("bad-proof", False)
    await gateway.over()


async def test_a_console_that_does_not_know_the_gateway_never_says_a_final_no(gateway: GatewayDouble):
    for unknown in ("00000000-0000-0000-0000-000000000000", "\x00", ""):
        stranger = gateway.again()
        stranger.gateway_id = unknown
        stranger.open()
        refusal = await stranger.prove()
        assert isinstance(refusal, frames.Refusal)
        assert (refusal.reason, refusal.final) == ("unknown-gateway", False)
        await stranger.over()


async def test_a_proof_is_good_for_its_own_challenge_only(gateway: GatewayDouble):
    gateway.open()
    await gateway.send(frames.Hello(versions=(1, 1), gateway_id=gateway.gateway_id, nonce="n"))
    await gateway.expect(frames.Challenge)
    proof = frames.Proof(signature="A" * 86, writer="w")
    await gateway.send(proof)
    assert (await gateway.expect(frames.Refusal)).reason == "bad-proof"
    await gateway.over()


async def test_no_common_version(gateway: GatewayDouble):
    gateway.open()
    await gateway.send(frames.Hello(versions=(5, 9), gateway_id=gateway.gateway_id, nonce="n"))
    refusal = await gateway.expect(frames.Refusal)
    assert (refusal.reason, refusal.final) == ("version", False)
    await gateway.over()


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"type":"other"}', b"\x00", frames.encode(frames.Heartbeat()), "x" * (1 << 20) + "x"]
)
async def test_what_is_no_hello_ends_it(gateway: GatewayDouble, text: Any):
    gateway.open()
    await gateway.end.send(text)
    refusal = await gateway.expect(frames.Refusal)
    assert refusal.reason == ("too-large" if len(text) > 1 << 20 else "protocol")
    await gateway.over()


@pytest.mark.parametrize(
    "frame",
    [
        frames.Hello(versions=(1, 1), gateway_id="g", nonce="n"),
        frames.Welcome(term=1, stored={}, time=ManualClock().now()),
        frames.Status(term=99, revision=1, status=GatewayStatus(generation=0, incarnation=1)),
        frames.Status(term=1, revision=2**70, status=GatewayStatus(generation=0, incarnation=1)),
    ],
)
async def test_a_frame_out_of_order_ends_it(gateway: GatewayDouble, frame: frames.Frame):
    await gateway.connect()
    await gateway.send(frame)
    assert (await gateway.expect(frames.Refusal)).reason == "protocol"
    await gateway.over()


@pytest.mark.parametrize("changed", [{"number": 2**60}, {"writer": "a\x00b"}])
async def test_a_report_that_could_not_be_stored_is_refused(gateway: GatewayDouble, changed: dict[str, Any]):
    await gateway.connect()
    report = gateway.report_of(1).model_copy(update=changed)
    await gateway.send(frames.Reports(reports=[report]))
    assert (await gateway.expect(frames.Refusal)).reason == "protocol"
    await gateway.over()


@pytest.mark.looptime
async def test_who_does_not_prove_itself_is_sent_away_in_time():
    class NoStore:
        """A dummy: nothing of the service is needed before the proof but its clock and the console's identity."""

        def __init__(self) -> None:
            self.clock, self.certificates = ManualClock(), None

    mine, theirs = line()
    session = Session(NoStore(), Hub(NoStore()), theirs)  # type: ignore[arg-type]
    running = asyncio.create_task(session.run())
    begun = asyncio.get_running_loop().time()
    refusal = frames.decode(await mine.receive())
    assert isinstance(refusal, frames.Refusal)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(HANDSHAKE_SECONDS)
    await running


async def test_unproven_connections_are_bounded(gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "MAXIMUM_UNPROVEN_OF_ONE", 2)
    monkeypatch.setattr(hub_module, "MAXIMUM_UNPROVEN", 3)
    waiting = [gateway.again() for _ in range(3)]
    for connection, address in zip(waiting, ("192.0.2.1", "192.0.2.1", "192.0.2.2"), strict=True):
        connection.open(address)
    for address in ("192.0.2.1", "192.0.2.9"):
        late = gateway.again()
        late.open(address)
        assert (await late.expect(frames.Refusal)).reason == "busy"
        await late.over()
    # Who has proven itself makes room, and so does who has gone.
    assert isinstance(await waiting[0].prove(), frames.Welcome)
    await gateway.connect()
    await waiting[1].leave()
    late.open("192.0.2.1")
    assert isinstance(await late.prove(), frames.Welcome)
    for connection in (waiting[0], waiting[2], gateway, late):
        await connection.end.close()
        await connection.over()


async def test_a_revoked_key_is_told_so(service: Service, hub: Hub, gateway: GatewayDouble):
    await gateway.connect()
    code = (await service.gateways.new_pairing_code(ADMIN, gateway.gateway_id)).pairing_code
    pairing, keys = Pairing(service), GatewayKeys.generate()
    await pairing.register(registration(code, keys, pairing.identity()))
    # The one that is connected is told at once, and again when it comes back.
    assert (await gateway.expect(frames.Farewell)).reason == "revoked"
    await gateway.over()
    gateway.open()
    farewell = await gateway.prove()
    assert isinstance(farewell, frames.Farewell)
    assert farewell.reason == "revoked"
    await gateway.over()
    newer = GatewayDouble(service, hub, gateway.gateway_id, keys)
    assert (await newer.connect()).term == 2
    assert (await newer.expect(frames.Desired)).state.generation == 1
    await newer.leave()


# Whose term counts.


async def test_who_takes_over_supersedes_the_other(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    newer = gateway.again(writer="writer-2")
    assert (await newer.connect()).term == 2
    assert (await gateway.expect(frames.Superseded)).term == 2
    await gateway.over()
    assert service.presence.connected(gateway.gateway_id)
    gateway.open()
    answer = await gateway.prove()
    assert isinstance(answer, frames.Superseded)
    assert answer.term == 2
    await gateway.over()
    await newer.leave()
    assert not service.presence.connected(gateway.gateway_id)


async def test_the_same_process_on_a_new_connection_supersedes_nobody(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    dead, over = gateway.end, gateway.serving
    assert (await gateway.connect()).term == 1
    assert await dead.inbox.get() is None
    await over
    assert service.presence.connected(gateway.gateway_id)
    await gateway.report(1)
    await gateway.leave()


async def test_of_many_that_take_over_at_once_the_highest_term_stays(service: Service, gateway: GatewayDouble):
    racers = [gateway.again(writer=f"writer-{number}") for number in range(6)]
    for racer in racers:
        racer.open()
    answers = await asyncio.gather(*(racer.prove() for racer in racers))
    welcomed = {
        answer.term: racer for answer, racer in zip(answers, racers, strict=True) if isinstance(answer, frames.Welcome)
    }
    highest = max(welcomed)
    assert highest == 6
    for term, racer in welcomed.items():
        if term != highest:
            assert (await racer.expect(frames.Superseded)).term > term
    for racer in racers:
        if racer is not welcomed[highest]:
            await racer.over()
    winner = welcomed[highest]
    assert (await winner.report(1)).stored == {winner.writer: 1}
    await winner.leave()


async def test_a_term_that_was_given_first_but_comes_second_is_superseded(
    service: Service, gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch
):
    take, given, go_on = service.reports.take_term, asyncio.Event(), asyncio.Event()

    async def take_and_wait(gateway_id: str, term: int) -> int:
        taken = await take(gateway_id, term)
        given.set()
        await go_on.wait()
        return taken

    slow, quick = gateway.again(), gateway.again()
    slow.open()
    with monkeypatch.context() as patched:
        patched.setattr(service.reports, "take_term", take_and_wait)
        answer = asyncio.create_task(slow.prove())
        await given.wait()
    assert (await quick.connect()).term == 2
    go_on.set()
    assert await answer == frames.Superseded(term=2)
    await slow.over()
    assert (await quick.report(1)).stored == {"writer-1": 1}
    await quick.leave()


async def test_a_restored_console_accepts_a_term_above_its_own(gateway: GatewayDouble):
    gateway.term = 7
    assert (await gateway.connect()).term == 7
    await gateway.leave()
    assert (await gateway.connect()).term == 7
    newer = gateway.again()
    assert (await newer.connect()).term == 8
    await gateway.over()
    await newer.leave()


@pytest.mark.parametrize("term", [-1, 2**70])
async def test_a_term_out_of_range_is_refused(gateway: GatewayDouble, term: int):
    gateway.open()
    refusal = await gateway.prove(term=term)
    assert isinstance(refusal, frames.Refusal)
    assert refusal.reason == "protocol"
    await gateway.over()


# What is wanted, and the end.


async def _configure(service: Service, gateway: GatewayDouble, size: str = "small") -> None:
    document = {
        "cloud": "simulated",
        "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
        "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
        "template": {"image": "https://127.0.0.1/node-1.30.ova"},
        "nodes": {"count": 1, "size": size},
    }
    await service.configurations.configure(ADMIN, gateway.gateway_id, document)


async def test_the_desired_state_comes_after_welcome_and_at_every_change(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    await _configure(service, gateway)
    state = (await gateway.expect(frames.Desired)).state
    assert (state.generation, state.mode, state.incarnation) == (1, "run", 1)
    assert state.configuration is not None
    await _configure(service, gateway)  # the same again: nothing is sent
    await _configure(service, gateway, "large")
    assert (await gateway.expect(frames.Desired)).state.generation == 2
    await service.gateways.reset(ADMIN, gateway.gateway_id)
    state = (await gateway.expect(frames.Desired)).state
    assert (state.mode, state.incarnation) == ("idle", 2)
    await gateway.leave()
    await gateway.connect()
    assert (await gateway.expect(frames.Desired)).state == state
    await gateway.leave()


def _clean(generation: int, machines: int = 0) -> GatewayStatus:
    left = [
        MachineReport(
            name=f"m{number}",
            role=MachineRole.CONTROL_PLANE,
            state=MachineState.DELETING,
            instance=f"i{number}",
            incarnation=1,
        )
        for number in range(machines)
    ]
    return GatewayStatus(generation=generation, incarnation=1, clean=True, machines=left)


async def test_a_deleted_gateway_gets_its_farewell_and_gets_it_again(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    await _configure(service, gateway)
    await gateway.expect(frames.Desired)
    await service.gateways.delete(ADMIN, gateway.gateway_id)
    assert (await gateway.expect(frames.Desired)).state.mode == "delete"
    await gateway.send(frames.Status(term=1, revision=1, status=_clean(2, machines=1)))
    await gateway.send(frames.Status(term=1, revision=2, status=_clean(2)))
    assert (await gateway.expect(frames.Farewell)).reason == "deleted"
    await gateway.over()
    assert service.presence.last_seen(gateway.gateway_id) is None
    assert service.presence.left_at(gateway.gateway_id) is None
    gateway.open()
    assert isinstance(await gateway.prove(), frames.Farewell)
    await gateway.over()


async def test_a_forced_deletion_has_it_clean_up_first(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    await _configure(service, gateway)
    await gateway.expect(frames.Desired)
    await service.gateways.delete(ADMIN, gateway.gateway_id, force=True)
    assert (await gateway.expect(frames.Desired)).state.mode == "delete"
    assert (await gateway.report(1)).stored == {"writer-1": 1}
    await gateway.leave()
    await gateway.connect()
    state = (await gateway.expect(frames.Desired)).state
    await gateway.send(frames.Status(term=1, revision=9, status=_clean(state.generation)))
    assert (await gateway.expect(frames.Farewell)).reason == "deleted"
    await gateway.over()
    assert service.presence.last_seen(gateway.gateway_id) is None


async def test_the_console_stops(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    service.streams.close()
    await gateway.over()
    assert gateway.end.inbox.get_nowait() is None


# Keeping it alive.


async def test_when_the_console_stops_no_session_is_left_at_the_store(
    service: Service, hub: Hub, gateway: GatewayDouble
):
    await gateway.connect()
    unproven = gateway.again()
    unproven.open()
    await unproven.send(frames.Hello(versions=(1, 1), gateway_id=gateway.gateway_id, nonce=signatures.new_nonce()))
    await unproven.expect(frames.Challenge)
    async with asyncio.timeout(10):
        await hub.close()
    assert gateway.serving.done() and not gateway.serving.cancelled()
    assert unproven.serving.cancelled()
    async with service.database.read() as session:
        row = await session.get(Gateway, gateway.gateway_id)
        assert row is not None and row.last_seen is not None
    late = gateway.again()
    late.open()
    refusal = await late.expect(frames.Refusal)
    assert (refusal.reason, refusal.final) == ("busy", False)
    await late.over()


async def test_heartbeats_keep_it_and_write_nothing(service: Service, clock: ManualClock, gateway: GatewayDouble):
    await gateway.connect()
    statements: list[str] = []
    event.listen(
        service.database.engine.sync_engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: statements.append(statement),
    )
    for _ in range(6):
        await clock.advance(20)
        assert (await gateway.expect(frames.Heartbeat)).time == clock.now()
        await gateway.send(frames.Heartbeat())
        while gateway.end.peer.inbox.qsize():
            await asyncio.sleep(0)
    assert service.presence.last_seen(gateway.gateway_id) == clock.now()
    assert [item for item in statements if item != "BEGIN" and not item.startswith("SELECT")] == []
    await gateway.leave()


async def test_a_silent_gateway_is_dead_after_three_intervals(
    service: Service, clock: ManualClock, gateway: GatewayDouble
):
    await gateway.connect()
    await gateway.report(1)
    await clock.advance(59)
    assert service.presence.connected(gateway.gateway_id)
    await clock.advance(1)
    await gateway.over()
    assert not service.presence.connected(gateway.gateway_id)
    assert service.presence.left_at(gateway.gateway_id) == clock.now()


async def test_a_store_that_fails_ends_one_session_and_nothing_else(
    service: Service, gateway: GatewayDouble, monkeypatch: pytest.MonkeyPatch
):
    await gateway.connect()

    async def fails(*arguments: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(service.reports, "store_reports", fails)
        await gateway.send(frames.Reports(reports=[gateway.report_of(1)]))
        assert (await gateway.expect(frames.Refusal)).reason == "busy"
        await gateway.over()
    await gateway.connect()
    await gateway.report(1)
    await gateway.leave()
