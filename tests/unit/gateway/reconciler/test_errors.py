"""Trouble of any kind is told beside the step where it is, is tried again, and never ends the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.errors import NotFound, PcgError, PermissionMissing, ResourcesMissing, TryAgain, Unreachable
from pcg.gateway.reconciler import ASK_AGAIN_SECONDS
from pcg.model.states import ConditionName, StepName, StepState
from unit.gateway.reconciler.life import MoodyCloud, living
from unit.gateway.reconciler.making import THREE

pytestmark = pytest.mark.looptime

AWAY = Unreachable("The cloud is away.", reason="away")


async def test_an_unreachable_cloud_is_asked_ever_more_slowly_and_heals(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.cloud.moods["connect"] = AWAY
        life.configure()
        await asyncio.sleep(600)
        assert life.problem(StepName.CONNECT) == "away"
        assert life.step(StepName.CONNECT).next_try is not None
        tries = life.cloud.times("connect")
        first_minute = [at for at in tries if at < 20]
        assert len(first_minute) > 3
        # Evenly between 0 and 15 seconds once it has grown: some 80 tries in ten minutes, never one a second.
        assert 40 < len(tries) < 140
        assert life.told("StepFailed") == 1
        life.cloud.moods.clear()
        await life.until(life.running, 120)


async def test_what_only_a_person_can_mend_is_looked_at_every_few_seconds(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.cloud.moods["check"] = PermissionMissing("lacks it", reason="permission-missing")
        life.configure()
        await asyncio.sleep(60)
        assert life.step(StepName.PREFLIGHT).state is StepState.BLOCKED
        pauses = [
            after - before for before, after in zip(*(life.cloud.times("check")[i:] for i in (0, 1)), strict=False)
        ]
        assert pauses and all(pause == ASK_AGAIN_SECONDS for pause in pauses)
        life.cloud.moods.clear()
        await life.until(life.running)


async def test_an_unexpected_error_is_told_without_its_text_and_the_gateway_goes_on(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.cloud.moods["check"] = RuntimeError("password is hunter2")
        life.configure()
        await life.until(lambda: life.problem(StepName.PREFLIGHT) == "unexpected")
        assert "hunter2" not in life.status.model_dump_json()
        assert not any("hunter2" in event.model_dump_json() for event in life.events())
        error = life.step(StepName.PREFLIGHT).last_error
        assert error is not None
        assert error.evidence == ["RuntimeError"]
        life.cloud.moods.clear()
        await life.until(life.running)


async def test_a_disk_that_cannot_be_written_does_not_end_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life:
        life.configure()

        def full(*values: object) -> None:
            raise TryAgain("The disk is full.", reason="store-not-written")

        with monkeypatch.context() as patch:
            patch.setattr(life.store, "put", full)
            await asyncio.sleep(300)
            assert not life.work.done()
            assert len(life.cloud.asked) < 200
        await life.until(life.running)


async def test_news_that_cannot_be_had_cost_no_endless_loop(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        before = len(life.cloud.asked)
        life.cloud.moods["wait_for_change"] = ValueError("odd answer")
        await asyncio.sleep(600)
        assert len(life.cloud.asked) - before < 400
        assert not life.work.done()


async def test_trouble_with_a_machine_of_a_running_gateway_is_told_beside_machines(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        await life.until(life.running)
        life.cloud.moods["create_machine"] = ResourcesMissing("no memory", reason="resources-missing")
        await life.cloud.remove(life.ours()[2].id)
        await asyncio.sleep(120)
        assert life.problem(StepName.MACHINES) == "resources-missing"
        assert life.step(StepName.CONNECT).state is StepState.DONE
        assert life.told("StepFailed") == 1
        life.cloud.moods.clear()
        await life.until(lambda: life.running() and len(life.ours()) == 3)


@pytest.mark.parametrize(
    "error,scenario",
    [
        (TryAgain("Somebody cancelled it.", reason="task-cancelled"), None),
        (
            ResourcesMissing("ds-1 is full.", reason="resources-missing", fields={"resource": "disk space"}),
            ("provisioning-stalled", "insufficient-resources"),
        ),
    ],
)
async def test_a_clone_that_ends_badly_is_told_and_begun_anew_once_it_can_be(
    tmp_path: Path, error: PcgError, scenario: tuple[str, str] | None
) -> None:
    cloud = MoodyCloud(clone_error=error)
    async with living(tmp_path, cloud) as life:
        life.configure()
        await life.until(lambda: life.problem(StepName.MACHINES) == error.reason)
        found = {finding.key for finding in diagnose(Facts(life.reconciler.clock.now(), life.status))}
        assert found == ({scenario} if scenario else set())
        cloud.clone_error = None
        await life.until(life.running)
        assert len(life.ours()) == 1
        assert diagnose(Facts(life.reconciler.clock.now(), life.status)) == []


async def test_a_cloud_away_in_the_midst_of_provisioning_is_told_beside_connect(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(lambda: life.step(StepName.MACHINES).state is StepState.RUNNING)
        life.cloud.moods["list_machines"] = AWAY
        await life.until(lambda: life.problem(StepName.CONNECT) == "away")
        assert life.problem(StepName.MACHINES) == ""
        life.cloud.moods.clear()
        await life.until(life.running)


async def test_a_lost_cluster_is_told_once_beside_machines_and_a_reset_heals_it(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        await life.cloud.remove(life.ours()[0].id)
        await life.until(lambda: life.condition(ConditionName.CLUSTER_LOST) is not None)
        await asyncio.sleep(1800)
        assert life.problem(StepName.MACHINES) == "cluster-lost"
        assert life.step(StepName.MACHINES).state is StepState.BLOCKED
        assert life.told("StepFailed") == 1
        life.reset()
        await life.until(life.clean)
        assert life.condition(ConditionName.CLUSTER_LOST) is None
        life.configure()
        await life.until(life.running)


async def test_something_that_is_gone_since_preflight_is_looked_for_again(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.cloud.moods["create_machine"] = NotFound("no such datastore", reason="datastore-not-found")
        life.configure()
        await life.until(lambda: life.problem(StepName.MACHINES) == "datastore-not-found")
        before = len(life.cloud.times("check"))
        await asyncio.sleep(ASK_AGAIN_SECONDS + 1)
        assert len(life.cloud.times("check")) == before + 1
        life.cloud.moods.clear()
        await life.until(life.running)
