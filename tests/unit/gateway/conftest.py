"""A pipe in memory and a double of the console that speaks the true protocol, for the session in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from doubles.console import ConsoleDouble
from pcg.clock import LoopClock
from pcg.gateway.backoff import Backoff
from pcg.gateway.connection import Party
from pcg.gateway.session import Session
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import Event, GatewayStatus
from pcg.sealing import encoding
from pcg.sealing.keys import GatewayKeys


class StatusDouble:
    """A mock of the reconciler's status."""

    def __init__(self) -> None:
        self.revision = 0
        self.generation = 0
        self._changed = asyncio.Condition()

    def status(self) -> GatewayStatus:
        return GatewayStatus(generation=self.generation, incarnation=1)

    async def wait_status_changed(self, revision: int) -> int:
        async with self._changed:
            await self._changed.wait_for(lambda: self.revision > revision)
            return self.revision

    async def change(self, generation: int) -> None:
        async with self._changed:
            self.generation = generation
            self.revision += 1
            self._changed.notify_all()


@dataclass
class Bench:
    """A session under test with everything around it."""

    console: ConsoleDouble
    store: GatewayStore
    status: StatusDouble
    party: Party
    session: Session
    wanted: list[DesiredState]
    said: list[str]
    clock: LoopClock

    def happen(self, reason: str) -> None:
        self.store.append(Event(at=self.clock.now(), reason=reason, message=reason))


def make_bench(path: Path, console: ConsoleDouble, keys: GatewayKeys) -> Bench:
    """One process of the gateway; another on the same path and console is the gateway started again."""
    status, clock = StatusDouble(), LoopClock()
    wanted: list[DesiredState] = []
    said: list[str] = []
    store = GatewayStore(path)
    console.gateway_signing = keys.public_signing
    party = Party(
        gateway_id="gateway-1",
        console_id=console.console_id,
        identity_key=encoding.encode(bytes(console.identity.verify_key)),
        keys=keys,
        store=store,
        clock=clock,
        status=status,
        want=wanted.append,
        requests={},
    )
    session = Session(party, console.dial, say=said.append, tries=Backoff())
    return Bench(console, store, status, party, session, wanted, said, clock)


@pytest.fixture
def bench_maker() -> Callable[[Path], Bench]:
    """Benches that share a console and keys."""
    console, keys = ConsoleDouble(), GatewayKeys.generate()
    return lambda path: make_bench(path, console, keys)


@pytest.fixture
def world_maker() -> Callable[[], Callable[[Path], Bench]]:
    """A new console and keys at each call, for examples that Hypothesis draws."""

    def make() -> Callable[[Path], Bench]:
        console, keys = ConsoleDouble(), GatewayKeys.generate()
        return lambda path: make_bench(path, console, keys)

    return make


@pytest.fixture
async def bench(tmp_path: Path, bench_maker: Callable[[Path], Bench]) -> Any:
    made = bench_maker(tmp_path / "gateway.db")
    yield made
    await made.console.stop()
    made.store.close()
