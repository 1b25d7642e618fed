"""News wake whoever waits for them, and no others; permissions are inherited from the nearest role above."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcg.clouds.simulated.news import News
from pcg.clouds.simulated.permissions import DELETE, IMPORT, LEAST, POWER_ON, Permissions
from pcg.clouds.simulated.refusals import Refusal
from pcg.clouds.simulated.state import State

pytestmark = pytest.mark.looptime


async def waited(news: News, topic: str, after: int, timeout: float = 300.0) -> tuple[float, int]:
    """How long it took, and the revision answered."""
    began = asyncio.get_running_loop().time()
    revision = await news.wait(topic, after, timeout)
    return asyncio.get_running_loop().time() - began, revision


async def test_a_change_wakes_who_waits_for_its_topic_and_nobody_else() -> None:
    news = News(1000)
    ours = asyncio.create_task(waited(news, "a", 1000))
    others = asyncio.create_task(waited(news, "b", 1000))
    await asyncio.sleep(5)
    news.changed("a")
    assert await ours == (5.0, 1001)
    assert await others == (300.0, 1000)


async def test_everyone_is_woken_by_news_for_everyone() -> None:
    news = News(0)
    waits = [asyncio.create_task(waited(news, topic, 0)) for topic in ("a", "b")]
    await asyncio.sleep(1)
    news.changed(News.EVERYONE)
    assert await asyncio.gather(*waits) == [(1.0, 1), (1.0, 1)]


async def test_who_is_behind_need_not_wait() -> None:
    news = News(7)
    news.changed("a")
    assert await waited(news, "a", 7) == (0.0, 8)
    assert await waited(news, "a", 99) == (0.0, 8)


async def test_nobody_waits_on_a_data_center_that_closes() -> None:
    news = News(0)
    waiting = asyncio.create_task(waited(news, "a", 0))
    await asyncio.sleep(1)
    news.close()
    assert (await waiting)[0] == 1.0
    assert (await waited(news, "a", news.revision("a")))[0] == 0.0


async def test_a_wait_that_was_given_up_leaves_nothing_behind() -> None:
    news = News(0)
    waiting = asyncio.create_task(waited(news, "a", 0))
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    news.changed("a")
    assert (await waited(news, "a", 1, timeout=2.0)) == (2.0, 1)


@pytest.fixture
def permissions(tmp_path: Path) -> Iterator[Permissions]:
    state = State(tmp_path / "datacenter.db")
    yield Permissions(state, "svc")
    state.close()


def test_the_account_has_exactly_the_least_that_it_needs(permissions: Permissions) -> None:
    for path, privileges in LEAST.items():
        assert permissions.of(path) == set(privileges)
    assert permissions.of("/dc-1") == permissions.of("/dc-1/vm/others") == permissions.of("/") == frozenset()


def test_a_role_is_inherited_from_the_nearest_parent_that_has_one(permissions: Permissions) -> None:
    assert permissions.has(IMPORT, "/dc-1/vm/spectro-templates/node/below")
    permissions.set("/dc-1/vm/spectro-templates/node", [DELETE])
    assert not permissions.has(IMPORT, "/dc-1/vm/spectro-templates/node/below")
    assert permissions.has(DELETE, "/dc-1/vm/spectro-templates/node/below")
    assert permissions.own("/dc-1/vm/spectro-templates/node/below") == frozenset()


def test_a_path_that_only_begins_alike_inherits_nothing(permissions: Permissions) -> None:
    assert not permissions.has(DELETE, "/dc-1/vm/pcg-of-others")


def test_what_is_missing_is_refused_by_name_and_counted(permissions: Permissions) -> None:
    with pytest.raises(Refusal) as caught:
        permissions.demand((DELETE, "/dc-1/vm/pcg"), (POWER_ON, "/dc-1/vm/others"))
    assert caught.value.kind == "no-permission"
    assert caught.value.fields == {"privilege": POWER_ON, "object": "/dc-1/vm/others", "account": "svc"}
    assert permissions.denied.total() == 1


def test_permissions_outlive_the_process(tmp_path: Path) -> None:
    state = State(tmp_path / "datacenter.db")
    Permissions(state, "svc").set("/dc-1/vm/pcg", [])
    assert Permissions(state, "svc").of("/dc-1/vm/pcg") == frozenset()
    state.close()
