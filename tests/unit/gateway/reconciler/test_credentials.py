"""A rejected password is tried once, and not again until a person has given another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.errors import CredentialsRejected
from pcg.gateway.cloud_access import CloudAccess
from pcg.gateway.memory import Memory
from pcg.gateway.store import GatewayStore
from pcg.model.configuration import CloudKind
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.model.states import ConditionName, StepName, StepState
from pcg.sealing.boxes import Credentials
from unit.gateway.reconciler.life import MoodyCloud, living

pytestmark = pytest.mark.looptime

REJECTED = "credentials-rejected"


async def test_a_rejected_password_is_tried_once_in_a_whole_day(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(password="wrong")
        await asyncio.sleep(24 * 3600)
        assert life.cloud.logins == 1
        assert life.step(StepName.CONNECT).state is StepState.BLOCKED
        assert life.step(StepName.CONNECT).next_try is None
        condition = life.condition(ConditionName.CREDENTIALS_NEEDED)
        assert condition is not None
        assert condition.reason == REJECTED


async def test_another_password_is_tried_at_once_and_each_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(password="wrong")
        await life.until(lambda: life.problem(StepName.CONNECT) == REJECTED)
        life.configure(password="wrong too")
        await asyncio.sleep(3600)
        assert life.cloud.logins == 2
        life.configure(password="secret")
        await life.until(life.running)
        assert life.cloud.logins == 3
        assert life.condition(ConditionName.CREDENTIALS_NEEDED) is None


async def test_a_restart_of_the_gateway_does_not_try_it_again(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    async with living(tmp_path, cloud) as life:
        life.configure(password="wrong")
        await life.until(lambda: life.problem(StepName.CONNECT) == REJECTED)
    async with living(tmp_path, cloud) as again:
        await asyncio.sleep(3600)
        assert cloud.logins == 1
        assert again.problem(StepName.CONNECT) == REJECTED


async def test_the_same_version_wanted_again_is_no_new_try(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(password="wrong")
        await life.until(lambda: life.problem(StepName.CONNECT) == REJECTED)
        life.want()
        await asyncio.sleep(600)
        assert life.problem(StepName.CONNECT) == REJECTED
        assert life.cloud.logins == 1


async def test_a_password_that_was_changed_behind_a_session_is_tried_once_when_it_ends(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.cloud.password = "changed by someone"
        life.cloud.moods["session"] = RuntimeError("the session has ended")
        before = life.cloud.logins
        await asyncio.sleep(3600)
        assert life.cloud.logins == before + 1
        assert life.problem(StepName.CONNECT) == REJECTED
        life.cloud.moods.clear()
        life.configure(password="changed by someone")
        await life.until(life.running)


async def test_a_password_that_is_rejected_while_listening_is_not_tried_a_second_time(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        life.cloud.moods["wait_for_change"] = CredentialsRejected("The password is wrong.", reason=REJECTED)
        life.cloud.password = "changed by someone"
        before = life.cloud.logins
        await life.cloud.touch()
        await asyncio.sleep(3600)
        assert life.cloud.logins == before
        assert len(life.cloud.times("wait_for_change")) > 0
        assert life.problem(StepName.CONNECT) == REJECTED


def access(tmp_path: Path, cloud: MoodyCloud) -> tuple[CloudAccess, GatewayStore]:
    store = GatewayStore(tmp_path / "gateway.db")
    return CloudAccess(lambda kind: cloud, Memory(store)), store


def credentials(password: str = "secret") -> Credentials:
    return Credentials(gateway_id="gateway-1", address="127.64.0.2", username="svc", password=password)


def desired(version: str = "1") -> DesiredState:
    sealed = SealedCredentials(version=version, ciphertext="")
    return DesiredState(generation=1, incarnation=1, mode="run", credentials=sealed)


async def test_a_connection_is_kept_across_passes(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    opener, store = access(tmp_path, cloud)
    first = await opener.open(CloudKind.SIMULATED, credentials(), desired())
    assert await opener.open(CloudKind.SIMULATED, credentials(), desired()) is first
    assert cloud.logins == 1
    await opener.close()
    assert opener.connection is None
    store.close()


async def test_other_credentials_make_another_connection(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    opener, store = access(tmp_path, cloud)
    first = await opener.open(CloudKind.SIMULATED, credentials(), desired())
    cloud.password = "second"
    assert await opener.open(CloudKind.SIMULATED, credentials("second"), desired("2")) is not first
    assert cloud.logins == 2
    await opener.close()
    store.close()


async def test_that_the_cloud_ever_let_us_in_is_remembered_only_then(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    opener, store = access(tmp_path, cloud)
    with pytest.raises(CredentialsRejected):
        await opener.open(CloudKind.SIMULATED, credentials("wrong"), desired())
    assert not Memory(store).ever_connected
    await opener.open(CloudKind.SIMULATED, credentials(), desired("2"))
    assert Memory(store).ever_connected
    await opener.close()
    store.close()
