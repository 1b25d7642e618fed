"""Removal: reset at any moment and delete leave nothing of ours, touch nothing else, and tell what hinders them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pcg.clouds.base import CloudTask, TaskState
from pcg.errors import NotFound, PermissionMissing, Unreachable
from pcg.gateway.cleaning import Cleaner, sort_out, split
from pcg.gateway.memory import Slot
from pcg.model.states import STALLED_AFTER_SECONDS, ConditionName, MachineState, StepName, StepState
from unit.gateway.reconciler.life import Life, living
from unit.gateway.reconciler.making import DOCUMENT, THREE, Made, machine, name_of, situation

pytestmark = pytest.mark.looptime

HINDERED = PermissionMissing("The account may not delete.", reason="permission-missing")


def unwanted(*ordinals: int) -> Made:
    made = situation(DOCUMENT, mode="idle")
    made.situation.unwanted = [machine(number) for number in ordinals]
    return made


async def test_every_unwanted_machine_is_removed_side_by_side_and_asked_once() -> None:
    made, cleaner = unwanted(1, 2), Cleaner()
    assert await cleaner.sweep(made.situation) == [name_of(1), name_of(2)]
    assert await cleaner.sweep(made.situation) == [name_of(1), name_of(2)]
    assert made.cloud.deleted == [name_of(1), name_of(2)]
    assert made.reasons == ["MachineRemoving"] * 2
    assert cleaner.clean_for is None
    assert cleaner.since is not None


async def test_it_is_clean_once_nothing_is_left() -> None:
    made, cleaner = unwanted(1), Cleaner()
    await cleaner.sweep(made.situation)
    made.situation.unwanted = []
    assert await cleaner.sweep(made.situation) == []
    assert (cleaner.clean_for, cleaner.since) == (1, None)


async def test_a_machine_still_being_made_is_left_and_not_removed_before_it_is_there() -> None:
    made, cleaner = unwanted(1), Cleaner()
    made.situation.unfinished = [CloudTask("t", TaskState.RUNNING, "create", name_of(number)) for number in (1, 2)]
    assert await cleaner.sweep(made.situation) == [name_of(1), name_of(2)]
    assert made.cloud.deleted == []


async def test_what_the_present_cluster_is_making_does_not_count_as_left() -> None:
    made, cleaner = situation(DOCUMENT, Slot(ordinal=1, kind="init")), Cleaner()
    made.situation.unfinished = [CloudTask("t", TaskState.RUNNING, "create", name_of(1))]
    assert await cleaner.sweep(made.situation) == []


async def test_a_removal_that_failed_is_told_and_begun_again() -> None:
    made, cleaner = unwanted(1), Cleaner()
    await cleaner.sweep(made.situation)
    made.cloud.ended("task-1", HINDERED)
    with pytest.raises(PermissionMissing):
        await cleaner.sweep(made.situation)
    await cleaner.sweep(made.situation)
    assert made.cloud.deleted == [name_of(1)] * 2


async def test_one_machine_that_cannot_be_removed_does_not_hold_up_the_others() -> None:
    made, cleaner = unwanted(1, 2, 3), Cleaner()
    made.cloud.refusals[f"delete {name_of(1)}"] = HINDERED
    made.cloud.refusals[f"delete {name_of(2)}"] = NotFound("gone meanwhile")
    with pytest.raises(PermissionMissing):
        await cleaner.sweep(made.situation)
    assert made.cloud.deleted == [name_of(3)]


@pytest.mark.parametrize(
    "mode,removed,untold",
    [("run", [1], [3]), ("idle", [1], [2, 3]), ("delete", [1, 2, 3], [])],
    ids=["run", "idle", "delete"],
)
def test_what_a_newer_desired_state_made_is_not_removed_by_an_older_one(
    mode: str, removed: list[int], untold: list[int]
) -> None:
    # The disk of an earlier time was put back: the machines of incarnations 2 and 3 were made after it.
    made = situation(mode=mode).situation
    present = replace(made, desired=made.desired.model_copy(update={"incarnation": 2}))
    machines = [machine(1, incarnation=number) for number in (1, 2, 3)]
    sort_out(present, machines, [])
    by_name = {name_of(1, number): number for number in (1, 2, 3)}
    assert [by_name[item.name] for item in present.unwanted] == removed
    assert [by_name[item.name] for item in present.untold] == untold


async def test_an_older_disk_waits_for_the_console_instead_of_removing(tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    async with living(disk) as life:
        life.configure()
        await life.until(life.running)
        life.reset()
        await life.until(life.clean)
        shutil.copytree(disk, copy)
        life.configure()
        await life.until(life.running)
        machines = dict(life.cloud.machines)
    async with living(copy, life.cloud) as again:
        await asyncio.sleep(600)
        assert again.cloud.machines == machines
        assert not again.status.clean
        assert again.condition(ConditionName.CLEANING_UP) is not None


def test_copies_and_younger_twins_are_told_apart() -> None:
    first, second = machine(1, created=1.0), machine(2, created=5.0)
    twin = replace(first, id="vm-twin", created=2.0)
    copy = replace(first, id="vm-copy", instance="another", created=0.5)
    assert split([twin, second, copy, first]) == ([first, second], [twin], [copy])


async def test_a_younger_twin_is_removed_and_a_persons_copy_is_not(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        ours = life.ours()[0]
        copy = await life.cloud.copy(ours)
        twin = replace(ours, id="twin", name="restored")
        await life.cloud._put(twin)
        await life.until(lambda: "twin" not in life.cloud.machines)
        await asyncio.sleep(600)
        assert set(life.cloud.machines) == {ours.id, copy}
        assert (life.told("MachineTwin"), life.told("MachineCopied")) == (1, 1)


async def test_a_machine_that_was_restored_after_it_was_replaced_is_one_too_many(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        await life.until(life.running)
        lost = life.ours()[1]
        await life.cloud.remove(lost.id)
        await life.until(lambda: life.running() and len(life.ours()) == 3)
        successors = {machine.id for machine in life.ours()}
        await life.cloud._put(replace(lost, id="restored"))
        await life.until(lambda: life.told("MachineSurplus") == 1 and "restored" not in life.cloud.machines)
        await life.until(life.running)
        assert {machine.id for machine in life.ours()} == successors


MOMENTS: dict[str, Callable[[Life], bool]] = {
    "at once": lambda life: True,
    "importing": lambda life: bool(life.cloud.tasks),
    "cloning": lambda life: any(task.kind == "create" for task in life.cloud.tasks.values()),
    "starting": lambda life: any(task.kind == "start" for task in life.cloud.tasks.values()),
    "booting": lambda life: bool(life.cloud.up_since),
    "joining": lambda life: life.step(StepName.MACHINES).state is StepState.DONE,
    "running": lambda life: life.running(),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("delete", [False, True], ids=["reset", "delete"])
async def test_reset_and_delete_at_any_moment_leave_nothing_of_ours(tmp_path: Path, moment: str, delete: bool) -> None:
    async with living(tmp_path) as life:
        stranger = await life.cloud.add_stranger(name_of(2))
        life.configure(THREE)
        await life.until(lambda: MOMENTS[moment](life))
        (life.delete if delete else life.reset)()
        await life.until(life.clean)
        assert life.status.machines == []
        await asyncio.sleep(120)
        assert set(life.cloud.machines) == {stranger}


async def test_machines_on_their_way_out_are_reported_so(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.reset()
        await asyncio.sleep(1)
        assert [item.state for item in life.status.machines] == [MachineState.DELETING]
        condition = life.condition(ConditionName.CLEANING_UP)
        assert condition is not None
        assert condition.reason == "machines-left"
        await life.until(life.clean)
        assert life.status.conditions == []


async def test_what_hinders_a_removal_is_told_until_it_hinders_no_more(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.cloud.moods["delete_machine"] = HINDERED
        life.reset()
        await asyncio.sleep(STALLED_AFTER_SECONDS + 60)
        condition = life.condition(ConditionName.CLEANING_UP)
        assert condition is not None
        assert (condition.reason, "may not delete" in condition.message) == ("permission-missing", True)
        assert life.condition(ConditionName.STALLED) is not None
        life.cloud.moods.clear()
        await life.until(life.clean)
        assert life.status.conditions == []


async def test_a_cloud_away_during_removal_hinders_it_and_heals(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.cloud.moods["list_machines"] = Unreachable("The cloud is away.", reason="away")
        life.delete()
        await asyncio.sleep(60)
        condition = life.condition(ConditionName.CLEANING_UP)
        assert condition is not None
        assert condition.reason == "away"
        assert not life.clean()
        life.cloud.moods.clear()
        await life.until(life.clean)
        assert life.status.conditions == []


async def test_a_gateway_that_was_never_configured_is_clean_at_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.delete()
        await life.until(life.clean, 5)
        assert life.cloud.logins == 0


async def test_a_gateway_that_the_cloud_never_let_in_is_clean(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(password="wrong")
        await life.until(lambda: life.problem(StepName.CONNECT) == "credentials-rejected")
        life.delete()
        await life.until(life.clean, 60)
        assert life.cloud.logins == 1


async def test_once_let_in_a_rejected_password_hinders_a_removal(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.configure(password="wrong")
        await life.until(lambda: life.problem(StepName.CONNECT) == "credentials-rejected")
        life.delete()
        await asyncio.sleep(60)
        assert not life.clean()
        names = [condition.name for condition in life.status.conditions]
        assert names == [ConditionName.CLEANING_UP, ConditionName.CREDENTIALS_NEEDED]


async def test_a_new_configuration_waits_until_the_old_machines_are_gone(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        old = life.ours()[0]
        life.reset()
        life.configure()
        await asyncio.sleep(1)
        assert life.step(StepName.CONNECT).task == f"waiting until {old.name} are removed"
        await life.until(life.running)
        assert [item.name for item in life.ours()] == [name_of(1, 2)]
