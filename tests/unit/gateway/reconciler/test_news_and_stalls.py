"""The gateway waits for news and does not poll; a standstill of 15 minutes is told as `stalled`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.errors import ResourcesMissing, TryAgain, Unreachable
from pcg.gateway.rest import LOOK_AGAIN_SECONDS
from pcg.model.states import STALLED_AFTER_SECONDS, ConditionName, StepName
from unit.gateway.reconciler.life import MoodyCloud, living
from unit.gateway.reconciler.making import THREE

pytestmark = pytest.mark.looptime


async def test_a_running_gateway_reads_the_cloud_every_five_minutes_only(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        await asyncio.sleep(1)
        before = len(life.cloud.times("list_machines"))
        await asyncio.sleep(3600)
        assert len(life.cloud.times("list_machines")) - before == 3600 / LOOK_AGAIN_SECONDS


async def test_one_change_with_nothing_to_do_costs_one_bulk_read(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        await life.until(life.running)
        await asyncio.sleep(1)
        before, opened = len(life.cloud.asked), len(life.cloud.times("list_machines"))
        await life.cloud.touch()
        await asyncio.sleep(10)
        assert len(life.cloud.times("list_machines")) == opened + 1
        assert len(life.cloud.asked) == before + 2  # beside the read, it listens again
        assert life.running()


async def test_news_are_acted_on_at_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        await life.until(life.running)
        await asyncio.sleep(100)
        await life.cloud.remove(life.ours()[1].id)
        await asyncio.sleep(0.5)
        assert life.told("MachineDeletedOutside") == 1


async def test_without_the_clouds_news_a_change_is_found_within_five_minutes(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        await life.until(life.running)
        life.cloud.deaf = True
        await life.cloud.touch()
        await asyncio.sleep(1)
        await life.cloud.remove(life.ours()[1].id)
        await asyncio.sleep(LOOK_AGAIN_SECONDS + 1)
        assert life.told("MachineDeletedOutside") == 1


async def test_an_api_server_that_stays_away_is_asked_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as life:

        async def pods(namespace: str) -> None:
            raise TryAgain("not now", reason="api-server-not-ready")

        with monkeypatch.context() as patch:
            patch.setattr(life.kubernetes, "pods", pods)
            life.configure()
            await life.until(lambda: life.problem(StepName.JET_INSTALLED) == "api-server-not-ready")
            before = len(life.cloud.times("list_machines"))
            await asyncio.sleep(600)
            assert 40 < len(life.cloud.times("list_machines")) - before < 140
        await life.until(life.running)


async def test_stalled_appears_after_fifteen_minutes_and_goes_with_progress(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.cloud.moods["connect"] = Unreachable("The cloud is away.", reason="away")
        life.configure()
        await asyncio.sleep(STALLED_AFTER_SECONDS - 5)
        assert life.condition(ConditionName.STALLED) is None
        await asyncio.sleep(60)
        stalled = life.condition(ConditionName.STALLED)
        assert stalled is not None
        assert "15 minutes" in stalled.message
        life.cloud.moods.clear()
        await life.until(life.running)
        assert life.condition(ConditionName.STALLED) is None


async def test_a_standstill_is_sent_to_the_console_though_nothing_changes(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(password="wrong")
        revision = 0
        async with asyncio.timeout(STALLED_AFTER_SECONDS + LOOK_AGAIN_SECONDS + 1):
            while life.condition(ConditionName.STALLED) is None:
                revision = await life.reconciler.wait_status_changed(revision)


async def test_a_machine_that_fails_again_and_again_is_no_progress(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    async with living(tmp_path, cloud) as life:
        cloud.clone_error = ResourcesMissing("The host has no memory left.", reason="resources-missing")
        life.configure()
        await asyncio.sleep(2 * STALLED_AFTER_SECONDS)
        assert life.condition(ConditionName.STALLED) is not None
        assert (life.told("StepFailed"), life.told("MachineCreating")) == (1, 1)
        assert len(cloud.times("create_machine")) > 10
        cloud.clone_error = None
        await life.until(life.running)
        assert life.condition(ConditionName.STALLED) is None


async def test_a_running_gateway_is_never_stalled(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        await asyncio.sleep(2 * STALLED_AFTER_SECONDS)
        assert life.condition(ConditionName.STALLED) is None
