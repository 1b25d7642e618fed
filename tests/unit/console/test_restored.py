"""A console whose store is older than its gateways: what it asks, what it withholds, and when its word counts again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from doubles.gateway import ADMIN, NOON, GatewayDouble, ManualClock, registration
from pcg.console.auth import Actor
from pcg.console.hub import Hub
from pcg.console.pairing import Pairing
from pcg.console.reports import TERMS_LEFT_OUT
from pcg.console.restored import leave_mark
from pcg.console.service import Service
from pcg.console.store.models import AuditEntry, Gateway
from pcg.errors import Conflict, PermissionMissing
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus, MachineReport
from pcg.model.states import ConditionName, MachineRole, MachineState, Role
from pcg.sealing.keys import GatewayKeys
from pcg.wire import frames

CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}
BIGGER = {**CONFIGURATION, "nodes": {"count": 1, "size": "medium"}}
CIPHERTEXT = "A" * 400
OPERATOR = Actor("operator-id", "operator@example.com", Role.OPERATOR)


async def _restored(service: Service, gateway: GatewayDouble, **row_of_then: Any) -> tuple[Service, GatewayDouble]:
    """The console started again on its store, which is put back to how the row was then; a gateway that comes back."""
    async with service.database.write() as session:
        row = await session.get(Gateway, gateway.gateway_id)
        assert row is not None
        for name, value in row_of_then.items():
            setattr(row, name, value)
        await session.flush()
        await leave_mark(session, "2026-05-31T12:00:00+00:00", service.clock.now())
    again = Service(service.database, service.certificates, "https://console.test", service.clock)
    return again, GatewayDouble(again, Hub(again), gateway.gateway_id, gateway.keys, term=gateway.term)


async def _tell(gateway: GatewayDouble, revision: int, generation: int, incarnation: int = 1, **parts: Any) -> None:
    status = GatewayStatus(generation=generation, incarnation=incarnation, **parts)
    await gateway.send(frames.Status(term=gateway.term, revision=revision, status=status))
    await _until(lambda: _status_is(gateway, status))


async def _status_is(gateway: GatewayDouble, status: GatewayStatus) -> bool:
    row = await _row(gateway)
    return row.status == status.model_dump(mode="json")


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await true():
            await asyncio.sleep(0.005)


async def _row(gateway: GatewayDouble) -> Gateway:
    async with gateway.service.database.read() as session:
        row = await session.get(Gateway, gateway.gateway_id)
        assert row is not None
        return row


async def _wanted(gateway: GatewayDouble) -> DesiredState:
    return (await gateway.expect(frames.Desired)).state


async def _conditions(gateway: GatewayDouble) -> list[ConditionName]:
    return [item.name for item in (await gateway.service.gateways.get(ADMIN, gateway.gateway_id)).conditions]


async def _is_ahead(gateway: GatewayDouble) -> bool:
    return ConditionName.CONSOLE_RESTORED in await _conditions(gateway)


async def _configure(gateway: GatewayDouble, document: dict[str, Any] = CONFIGURATION, **more: Any) -> int:
    stored = await gateway.service.configurations.configure(ADMIN, gateway.gateway_id, document, **more)
    return stored.view.generation


def _machine(incarnation: int) -> MachineReport:
    return MachineReport(
        name="m", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, instance="i", incarnation=incarnation
    )


CHANGES: dict[str, Callable[[GatewayDouble], Awaitable[Any]]] = {
    "configure": lambda gateway: _configure(gateway, BIGGER),
    "configure-the-same": lambda gateway: _configure(gateway),
    "credentials": lambda gateway: gateway.service.configurations.set_credentials(
        ADMIN, gateway.gateway_id, CIPHERTEXT
    ),
    "reset": lambda gateway: gateway.service.gateways.reset(ADMIN, gateway.gateway_id),
    "delete": lambda gateway: gateway.service.gateways.delete(ADMIN, gateway.gateway_id),
    "force": lambda gateway: gateway.service.gateways.delete(ADMIN, gateway.gateway_id, force=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_nothing_changes_before_a_person_agrees_and_then_the_next_change_counts(
    service: Service, gateway: GatewayDouble, change: Callable[[GatewayDouble], Awaitable[Any]]
):
    assert await _configure(gateway) == 1
    _, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 4)
    view = await gateway.service.gateways.get(ADMIN, gateway.gateway_id)
    (condition,) = [item for item in view.conditions if item.name is ConditionName.CONSOLE_RESTORED]
    assert "(generation 4) than this restored console knows (1)" in condition.message
    assert condition.since == NOON
    with pytest.raises(Conflict) as refused:
        await change(gateway)
    assert refused.value.reason == "console-restored"
    assert "pcg gateway agree 'one'" in " ".join(refused.value.remedy)

    assert await gateway.service.restored.agree(OPERATOR, gateway.gateway_id) is True
    view = await gateway.service.gateways.get(ADMIN, gateway.gateway_id)
    assert (view.generation, view.incarnation, view.agreed_unsaved) == (4, 1, True)
    assert ConditionName.CONSOLE_RESTORED not in await _conditions(gateway)
    known = (await gateway.service.configurations.get(ADMIN, gateway.gateway_id)).view
    assert known.configuration["nodes"]["size"] == "small"
    # A second agreement is none.
    assert await gateway.service.restored.agree(OPERATOR, gateway.gateway_id) is False

    await change(gateway)
    # Nothing was sent before it: this is the first.
    state = await _wanted(gateway)
    assert (state.incarnation, state.generation) > (1, 4)
    await gateway.leave()


async def test_the_agreement_is_audited_and_not_for_viewers(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    restored, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 4, 3)
    with pytest.raises(PermissionMissing):
        await restored.restored.agree(Actor("v", "viewer@example.com", Role.VIEWER), gateway.gateway_id)
    await restored.restored.agree(OPERATOR, gateway.gateway_id)
    async with service.database.read() as session:
        entries = list(await session.scalars(select(AuditEntry).where(AuditEntry.action == "restored-console-agreed")))
    (entry,) = entries
    assert (entry.actor, entry.gateway_id) == (OPERATOR.email, gateway.gateway_id)
    assert entry.details == {"generation": 4, "incarnation": 3, "known_generation": 1, "known_incarnation": 1}
    await gateway.leave()


async def test_what_is_wanted_waits_for_the_first_status_and_no_longer(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    restored, gateway = await _restored(service, gateway)
    await gateway.connect()
    assert (await _row(gateway)).restored_at == NOON
    assert not await _is_ahead(gateway)
    await _tell(gateway, 1, 1)
    assert (await _wanted(gateway)).generation == 1
    row = await _row(gateway)
    assert (row.restored_at, row.restored_generation, row.restored_incarnation) == (None, None, None)
    assert not await _is_ahead(gateway)
    # There is nothing to agree to.
    assert await restored.restored.agree(OPERATOR, gateway.gateway_id) is False
    assert (await restored.gateways.get(ADMIN, gateway.gateway_id)).agreed_unsaved is False
    assert await _configure(gateway, BIGGER) == 2
    assert (await _wanted(gateway)).generation == 2
    await gateway.leave()


@pytest.mark.parametrize("saved", [1, 2, 3, 5], ids=["below", "one-below", "the-same", "above"])
async def test_what_is_saved_while_the_gateway_is_away_waits_for_an_agreement_too(
    service: Service, gateway: GatewayDouble, saved: int
):
    """However often: its generation may reach that of the gateway, and mean something else."""
    await _configure(gateway)
    _, gateway = await _restored(service, gateway)
    for number in range(saved):
        await _configure(gateway, BIGGER if number % 2 == 0 else CONFIGURATION)
    await gateway.connect()
    await _tell(gateway, 1, 4)
    assert await _is_ahead(gateway)
    await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
    floor = max(4, 1 + saved)
    assert (await _row(gateway)).generation == floor
    await _configure(gateway, BIGGER)
    assert (await _wanted(gateway)).generation == floor + 1
    await gateway.leave()


async def test_a_gateway_that_was_pending_in_the_backup_can_be_reset(service: Service, gateway: GatewayDouble):
    """Here it is pending, and a reset of a pending gateway changes nothing otherwise; there machines run."""
    _, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 3, machines=[_machine(1)])
    await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
    await gateway.service.gateways.reset(ADMIN, gateway.gateway_id)
    state = await _wanted(gateway)
    assert (state.mode, state.generation, state.incarnation) == ("idle", 4, 2)
    await gateway.leave()


async def test_a_clean_gateway_is_not_taken_for_deleted_by_a_generation_that_means_something_else(
    service: Service, gateway: GatewayDouble
):
    """Deleted here while away, as generation 2; its own generation 2 was another one."""
    await _configure(gateway)
    _, gateway = await _restored(service, gateway)
    await gateway.service.gateways.delete(ADMIN, gateway.gateway_id)
    assert (await _row(gateway)).generation == 2
    await gateway.connect()
    await _tell(gateway, 1, 2, clean=True)
    assert await _is_ahead(gateway)
    await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
    await _tell(gateway, 2, 2, clean=True, trusts=["sha256:x"])
    assert (await _row(gateway)).mode == "delete"
    await gateway.service.gateways.delete(ADMIN, gateway.gateway_id)
    state = await _wanted(gateway)
    assert (state.mode, state.generation) == ("delete", 3)
    await gateway.send(
        frames.Status(term=gateway.term, revision=3, status=GatewayStatus(generation=3, incarnation=1, clean=True))
    )
    assert await gateway.expect(frames.Farewell) == frames.Farewell(reason="deleted")
    await gateway.over()


async def test_one_whose_deletion_is_forced_while_it_is_away_cleans_up_whatever_it_has(
    service: Service, gateway: GatewayDouble
):
    await _configure(gateway)
    _, gateway = await _restored(service, gateway)
    assert (await gateway.service.gateways.delete(ADMIN, gateway.gateway_id, force=True)).deleted
    await gateway.connect()
    state = await _wanted(gateway)
    assert state.mode == "delete"
    assert (state.incarnation, state.generation) > (9, 99)
    await gateway.leave()


async def test_a_deleting_gateway_with_more_can_still_be_deleted(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    await service.gateways.delete(ADMIN, gateway.gateway_id)
    _, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 7)
    with pytest.raises(Conflict, match="newer desired state"):
        await gateway.service.gateways.delete(ADMIN, gateway.gateway_id, force=True)
    await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
    await gateway.service.gateways.delete(ADMIN, gateway.gateway_id)
    state = await _wanted(gateway)
    assert (state.mode, state.generation) == ("delete", 8)
    await gateway.leave()


async def test_a_gateway_that_lost_its_memory_too_is_ahead_by_its_machines(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    _, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 0, 0)
    assert (await _wanted(gateway)).generation == 1
    await _tell(gateway, 2, 1, machines=[_machine(2)])
    assert await _is_ahead(gateway)
    await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
    await _configure(gateway)
    state = await _wanted(gateway)
    assert (state.incarnation, state.generation) == (2, 2)
    await gateway.leave()


async def test_jets_token_ends_with_the_incarnation_that_it_was_of(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    old = (await _row(gateway)).jet_token_hash
    for incarnation, same in ((1, True), (2, False)):
        _, gateway = await _restored(service, gateway, jet_token_hash=old, incarnation=1, generation=1)
        await gateway.connect()
        await _tell(gateway, incarnation, 5 + incarnation, incarnation)
        await gateway.service.restored.agree(ADMIN, gateway.gateway_id)
        row = await _row(gateway)
        assert row.jet_token_hash is not None
        assert (row.jet_token_hash == old) is same
        await gateway.leave()


async def test_a_store_that_was_put_back_without_a_mark_is_noticed_too(service: Service, gateway: GatewayDouble):
    """By `pg_restore`, or with the machine's snapshot."""
    await _configure(gateway)
    await gateway.connect()
    assert (await _wanted(gateway)).generation == 1
    await _tell(gateway, 1, 6)
    view = await service.gateways.get(ADMIN, gateway.gateway_id)
    (condition,) = [item for item in view.conditions if item.name is ConditionName.CONSOLE_RESTORED]
    assert "(generation 6) than this console knows (1)" in condition.message
    with pytest.raises(Conflict) as refused:
        await _configure(gateway, BIGGER)
    assert refused.value.reason == "console-restored"
    await service.restored.agree(ADMIN, gateway.gateway_id)
    await _configure(gateway, BIGGER)
    assert (await _wanted(gateway)).generation == 7
    await gateway.leave()


async def test_a_second_restore_keeps_the_older_of_both_floors(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    service, gateway = await _restored(service, gateway)
    await _configure(gateway, BIGGER)
    service, gateway = await _restored(service, gateway)
    row = await _row(gateway)
    assert (row.generation, row.restored_generation, row.restored_incarnation) == (2, 1, 1)
    await gateway.connect()
    await _tell(gateway, 1, 2)
    assert await _is_ahead(gateway), "its generation 2 is not the one that was saved here"
    await gateway.leave()


async def test_re_pairing_waits_for_the_agreement_too(service: Service, gateway: GatewayDouble):
    """Else one more generation might make the console's the gateway's, and hide that they differ."""
    await _configure(gateway)
    service, gateway = await _restored(service, gateway)
    await gateway.connect()
    await _tell(gateway, 1, 2)
    await gateway.leave()
    made = await service.gateways.new_pairing_code(ADMIN, gateway.gateway_id)
    pairing, keys = Pairing(service), GatewayKeys.generate()
    await pairing.register(registration(made.pairing_code, keys, pairing.identity()))
    assert (await _row(gateway)).generation == 1
    assert await _is_ahead(gateway)


async def test_a_take_over_leaves_out_terms_that_may_still_be_held(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    await gateway.leave()
    # After the backup another process was given term 2; it lives, and meets the restored console second.
    service, other = await _restored(service, gateway)
    other.term = 0
    await other.connect()
    assert other.term == 1 + TERMS_LEFT_OUT + 1
    gateway = GatewayDouble(service, other.hub, gateway.gateway_id, gateway.keys, term=2)
    gateway.open()
    assert await gateway.prove() == frames.Superseded(term=other.term)
    await gateway.over()
    await other.leave()


async def test_the_process_that_was_there_goes_on_with_its_term(service: Service, gateway: GatewayDouble):
    await gateway.connect()
    await gateway.leave()
    gateway.term = 7
    _, gateway = await _restored(service, gateway)
    assert (await gateway.connect()).term == 7
    await gateway.leave()


async def test_a_welcome_names_every_writer_that_it_is_asked_for(service: Service, gateway: GatewayDouble):
    for number in range(70):
        gateway.writer = f"w{number}"
        await gateway.connect()
        await gateway.report(1, 2)
        await gateway.leave()
        await _advance(service.clock)
    gateway.open()
    welcome = await gateway.prove(writers=["w0", "never", "\x00", "w69"])
    assert isinstance(welcome, frames.Welcome)
    assert (welcome.stored["w0"], welcome.stored["never"], welcome.stored["w69"]) == (2, 0, 2)
    assert "w1" not in welcome.stored and "\x00" not in welcome.stored
    assert len(welcome.stored) == 64 + 2
    await gateway.leave()


async def _advance(clock: Any) -> None:
    assert isinstance(clock, ManualClock)
    await clock.advance(1)


async def test_a_deleted_gateway_is_not_made_to_send_everything_again(service: Service, gateway: GatewayDouble):
    await _configure(gateway)
    await service.gateways.delete(ADMIN, gateway.gateway_id, force=True)
    gateway.open()
    welcome = await gateway.prove(writers=["writer-1"])
    assert isinstance(welcome, frames.Welcome)
    assert welcome.stored == {}
    await gateway.leave()


async def test_a_restored_console_tells_strangers_what_it_is_and_never_says_a_final_no(
    service: Service, gateway: GatewayDouble
):
    _, gateway = await _restored(service, gateway)
    stranger = gateway.again()
    stranger.gateway_id = "00000000-0000-0000-0000-000000000000"
    stranger.open()
    refusal = await stranger.prove()
    assert isinstance(refusal, frames.Refusal)
    assert (refusal.reason, refusal.final) == ("unknown-gateway", False)
    assert "restored from a backup of 2026-05-31 12:00:00 UTC" in refusal.message
    await stranger.over()

    gateway.open()
    refusal = await gateway.prove(keys=GatewayKeys.generate())
    assert isinstance(refusal, frames.Refusal)
    assert (refusal.reason, refusal.final) == ("bad-proof", False)
    assert "pair it again" in refusal.message
    await gateway.over()


@pytest.mark.parametrize(
    "status",
    [
        GatewayStatus(generation=2**53, incarnation=1),
        GatewayStatus(generation=1, incarnation=2**53),
        GatewayStatus(generation=-1, incarnation=1),
        GatewayStatus(generation=1, incarnation=1, machines=[_machine(2**60)]),
    ],
    ids=["generation", "incarnation", "negative", "machine"],
)
async def test_what_could_not_be_counted_on_from_is_refused(gateway: GatewayDouble, status: GatewayStatus):
    await gateway.connect()
    await gateway.send(frames.Status(term=gateway.term, revision=1, status=status))
    assert (await gateway.expect(frames.Refusal)).reason == "protocol"
    await gateway.over()
