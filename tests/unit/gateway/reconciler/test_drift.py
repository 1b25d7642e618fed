"""What others do to our machines is told with who did it, before it is mended, and forgotten once it is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pcg.clouds.base import ChangeKind, MachineChange, PowerState
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.errors import PermissionMissing, Unreachable
from pcg.gateway.memory import Slot
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.steps.drift import ASKING_SECONDS, MOST_COPIES, notice_copies
from pcg.gateway.steps.machines import machines
from pcg.model.drift import Drift
from pcg.model.naming import MARK_MADE_FROM
from pcg.model.records import Event
from unit.gateway.reconciler.life import Life, MoodyCloud, living
from unit.gateway.reconciler.making import DOCUMENT, SHARED, THREE, CloudDouble, Made, machine, name_of, situation

pytestmark = pytest.mark.looptime

AT = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
PERSON = MachineChange("VmPoweredOffEvent", AT, "EXAMPLE\\alice", "vm is powered off")
OURS = "127.64.0.10"


def up(ordinal: int = 1, kind: str = "init") -> Slot:
    return Slot(ordinal=ordinal, kind=kind, phase="up", machine=f"vm-1-{ordinal}")  # type: ignore[arg-type]


def made_small(ordinal: int = 1, **more: object) -> object:
    """Made with 4 CPUs and 4 GiB."""
    one = machine(ordinal, **more)  # type: ignore[arg-type]
    one.marks[MARK_MADE_FROM] = "1 4,4,60 spectro-templates/node"
    return one


def drifts_of(made: Made) -> list[Drift]:
    return made.situation.cluster.drifts


async def test_it_is_told_and_shown_with_who_did_it_before_it_is_switched_on_again() -> None:
    made = situation(DOCUMENT, up(), machines=(machine(1, power=PowerState.OFF),), formed=True)
    made.cloud.who = PERSON
    await machines(made.situation)
    assert made.cloud.asked_who == [(ChangeKind.POWERED_OFF, "vm-1-1", name_of(1))]
    assert made.shown == [(["powered-off-outside"], 0)]
    assert made.cloud.started == [name_of(1)]
    (drift,) = drifts_of(made)
    assert (drift.user, drift.at, drift.event) == ("EXAMPLE\\alice", AT, "VmPoweredOffEvent")
    assert drift.who == "Done by EXAMPLE\\alice at 2026-01-01 09:30:00 UTC (VmPoweredOffEvent)."


async def test_it_is_shown_before_a_new_machine_is_made() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (2, 3))
    made = situation(THREE, up(1), up(2, "join"), up(3, "join"), machines=there, formed=True)
    await machines(made.situation)
    assert made.cloud.asked_who == [(ChangeKind.REMOVED, "vm-1-1", name_of(1))]
    assert made.shown == [(["deleted-outside"], 0)]
    assert len(made.cloud.made) == 1
    assert [(drift.machine, drift.ordinal) for drift in drifts_of(made)] == [(name_of(1), 4)]
    made.slots[2].task = None
    made.situation.machines.append(machine(4, address="127.64.0.14"))
    await machines(made.situation)
    assert drifts_of(made) == []


@pytest.mark.parametrize(
    "who,said",
    [
        (PermissionMissing("The account lacks System.View."), "cannot be told: The account lacks System.View."),
        (Unreachable("The vCenter is away."), "cannot be told: The vCenter is away."),
        (ValueError("secret detail"), "the cloud's event log was not understood"),
        (None, "the cloud's event log says nothing of it"),
        (MachineChange("VmPoweredOffEvent", AT, ""), "names no account: it came from within the machine"),
        (MachineChange("VmPoweredOffEvent", AT, "svc", by_own_account=True), "svc, the account of this gateway, which"),
    ],
)
async def test_where_nobody_can_tell_who_it_is_said_and_mended_all_the_same(
    who: MachineChange | Exception | None, said: str
) -> None:
    made = situation(DOCUMENT, up(), machines=(machine(1, power=PowerState.OFF),), formed=True)
    made.cloud.who = who
    await machines(made.situation)
    assert said in drifts_of(made)[0].who
    assert "secret" not in drifts_of(made)[0].who
    assert made.cloud.started == [name_of(1)]


async def test_an_event_log_that_does_not_answer_holds_nothing_up_for_long() -> None:
    class Slow(CloudDouble):
        async def who_changed(self, kind: ChangeKind, machine_id: str, name: str) -> MachineChange | None:
            await asyncio.sleep(3600)
            raise AssertionError

    cloud = Slow()
    made = situation(DOCUMENT, up(), machines=(machine(1, power=PowerState.OFF),), formed=True, connection=cloud)
    began = asyncio.get_running_loop().time()
    await machines(made.situation)
    assert asyncio.get_running_loop().time() - began == ASKING_SECONDS
    assert cloud.started == [name_of(1)]
    assert "did not answer" in drifts_of(made)[0].who


async def test_a_cloud_without_an_event_log_says_so() -> None:
    class Silent(CloudDouble):
        who_changed = None  # type: ignore[assignment]

    cloud = Silent()
    made = situation(DOCUMENT, up(), machines=(machine(1, power=PowerState.OFF),), formed=True, connection=cloud)
    await machines(made.situation)
    assert drifts_of(made)[0].who == "This kind of cloud does not tell who did it."


async def test_another_size_is_told_once_and_left_and_closes_with_the_size_it_was_made_with() -> None:
    changed = made_small(address=OURS, hardware=(8, 4))
    made = situation(DOCUMENT, up(), machines=(changed,), formed=True)  # type: ignore[arg-type]
    made.cloud.who = PERSON
    for _ in range(3):
        await machines(made.situation)
    assert made.reasons == ["MachineReconfiguredOutside"]
    assert (made.cloud.started, made.cloud.made, made.cloud.deleted) == ([], [], [])
    (drift,) = drifts_of(made)
    assert drift.seen == "It has 8 CPUs and 4 GiB of memory; it was made with 4 CPUs and 4 GiB of memory."
    made.situation.machines = [made_small(address=OURS)]  # type: ignore[list-item]
    await machines(made.situation)
    assert drifts_of(made) == []


async def test_a_machine_not_started_yet_or_made_by_an_older_version_has_not_drifted() -> None:
    fresh = made_small(power=PowerState.OFF, hardware=(2, 2))
    made = situation(DOCUMENT, Slot(ordinal=1, kind="init", phase="creating"), machines=(fresh,))  # type: ignore[arg-type]
    await machines(made.situation)
    assert drifts_of(made) == []
    old = situation({**DOCUMENT, **SHARED}, up(), machines=(machine(1, address=OURS),), formed=True)
    await machines(old.situation)
    assert drifts_of(old) == []


async def test_a_copy_is_told_once_and_shown_as_long_as_it_is_there() -> None:
    made = situation(DOCUMENT, up(), machines=(machine(1, address=OURS),), formed=True)
    made.cloud.who = MachineChange("VmClonedEvent", AT, "bob")
    copy = machine(1, id="vm-99", name="copy-of-it", instance="another")
    for _ in range(2):
        await notice_copies(made.situation, [copy])
    assert made.told == [("MachineCopied", "copy-of-it")]
    assert made.cloud.asked_who == [(ChangeKind.COPIED, "vm-99", "copy-of-it")]
    await machines(made.situation)
    assert [drift.user for drift in drifts_of(made)] == ["bob"]
    await notice_copies(made.situation, [])
    assert drifts_of(made) == []


async def test_a_folder_full_of_copies_is_told_by_the_first_of_them() -> None:
    made = situation(DOCUMENT, up(), machines=(machine(1, address=OURS),), formed=True)
    copies = [machine(1, id=f"vm-{number}", name=f"copy-{number}", instance="another") for number in range(100)]
    await notice_copies(made.situation, copies)
    assert len(made.cloud.asked_who) == len(made.told) == len(drifts_of(made)) == MOST_COPIES


def drifted(reconciler: Reconciler) -> list[str]:
    """The causes that diagnosis names now."""
    facts = Facts(reconciler.clock.now(), reconciler.status(), drifts=reconciler.drifts())
    return [finding.cause for finding in diagnose(facts) if finding.scenario == "machine-drifted"]


def event_of(life: Life, reason: str) -> Event:
    return next(event for event in life.events() if event.reason == reason)


async def test_in_a_life_each_is_found_told_with_its_account_mended_and_gone(tmp_path: Path) -> None:
    cloud = MoodyCloud(who=PERSON)
    async with living(tmp_path, cloud) as life:
        life.configure({**THREE})
        await life.until(life.running)
        assert drifted(life.reconciler) == []
        first, second, third = (item.id for item in life.ours())
        await cloud.power_off(first)
        await life.until(lambda: drifted(life.reconciler) == ["powered-off-outside"])
        await life.until(lambda: life.running() and drifted(life.reconciler) == [])
        await cloud.remove(second)
        await life.until(lambda: drifted(life.reconciler) == ["deleted-outside"])
        await life.until(lambda: life.running() and drifted(life.reconciler) == [])
        await cloud.reconfigure(third, (1, 1))
        await life.until(lambda: drifted(life.reconciler) == ["reconfigured-outside"])
    async with living(tmp_path, cloud) as life:  # another process: what is not mended is not forgotten
        assert drifted(life.reconciler) == ["reconfigured-outside"]
        await cloud.power_off(third)
        await cloud.reconfigure(third, (4, 4))
        await life.until(lambda: life.running() and drifted(life.reconciler) == [])
        for reason in ("MachinePoweredOffOutside", "MachineDeletedOutside", "MachineReconfiguredOutside"):
            event = event_of(life, reason)
            assert "EXAMPLE\\alice" in event.message
            assert event.fields == {
                "account": "EXAMPLE\\alice",
                "event": "VmPoweredOffEvent",
                "at": "2026-01-01T09:30:00+00:00",
            }
        life.delete()
        assert drifted(life.reconciler) == []
