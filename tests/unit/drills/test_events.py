"""An event that the console does not have, and a gap in the numbers, are seen; what it has besides does not matter."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from pcg.cli.client import ConsoleClient
from pcg.cli.drilling.events import nothing_lost
from pcg.clock import SystemClock
from pcg.gateway.store import GatewayStore
from pcg.model.records import Event

CONSOLES_OWN = {"reason": "Disconnected", "message": "by the console"}


class Console:
    def __init__(self, *messages: str) -> None:
        self._events = [CONSOLES_OWN, *({"reason": "Told", "message": message} for message in messages)]

    async def items(self, path: str) -> list[dict[str, Any]]:
        assert path == "/gateways/g/events"
        return self._events


async def complete(state: Path, *messages: str) -> bool:
    return await nothing_lost(state, cast(ConsoleClient, Console(*messages)), "g")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = GatewayStore(tmp_path / "gateway.db")
    for message in ("one", "two", "two"):
        store.append(Event(at=SystemClock().now(), reason="Told", message=message))
    store.close()
    return tmp_path


async def test_all_that_was_written_must_be_there_as_often_as_it_was(state: Path) -> None:
    assert await complete(state, "two", "one", "two")
    assert not await complete(state, "two", "one")
    assert not await complete(state)


async def test_a_gap_in_the_numbers_is_a_loss(state: Path) -> None:
    with sqlite3.connect(state / "gateway.db") as database:
        database.execute("DELETE FROM outbox WHERE number = 2")
    database.close()
    assert not await complete(state, "one", "two", "two")
