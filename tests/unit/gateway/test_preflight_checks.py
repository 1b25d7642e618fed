"""What preflight is made of: what the configuration foretells, the cloud's own checks, and the ways that nodes need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pcg.clouds.base import Check
from pcg.errors import Unreachable
from pcg.gateway.memory import Slot
from pcg.gateway.preflight_checks import preflight_checks
from pcg.gateway.ways_ahead import Ahead
from unit.gateway.reconciler.making import DOCUMENT, THREE, machine, situation

OVERLAP = {"network": {"ntpServers": ["10.96.3.4"]}}


@dataclass
class Ways:
    """A mock of the network: is tried for as long as a test wants."""

    ends: bool = True
    tried: list[Ahead] = field(default_factory=list)
    cancelled: bool = False

    async def __call__(self, ahead: Ahead) -> list[Check]:
        self.tried.append(ahead)
        try:
            if not self.ends:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return [Check("time server", None, "silent")]


async def test_all_three_are_told() -> None:
    ways = Ways()
    made = situation(look_ahead=ways)
    made.cloud.checks = [Check("memory", True, "enough")]
    checks = await preflight_checks(made.situation)
    assert [(check.name, check.ok) for check in checks] == [
        ("configuration", True),
        ("memory", True),
        ("time server", None),
    ]
    assert [(ahead.console_url, ahead.standing) for ahead in ways.tried] == [("https://console.example", False)]


@pytest.mark.parametrize(("standing", "ok"), [(False, False), (True, None)])
async def test_what_a_cluster_stands_with_does_not_stand_in_its_way(standing: bool, ok: bool | None) -> None:
    slot = Slot(ordinal=1, kind="init", phase="made" if standing else "wanted")
    made = situation(DOCUMENT | OVERLAP, slot, look_ahead=Ways())
    first, *_ = await preflight_checks(made.situation)
    assert (first.name, first.ok) == ("overlaps as configured", ok)
    assert "10.96.3.4" in first.what


async def test_a_cloud_that_fails_leaves_nothing_running() -> None:
    ways = Ways(ends=False)
    made = situation(look_ahead=ways)
    made.cloud.refusals["check"] = Unreachable("gone", reason="vcenter-unreachable")
    with pytest.raises(Unreachable):
        await preflight_checks(made.situation)
    assert ways.cancelled


def placed(count: int) -> dict[str, Any]:
    return THREE | {"placement": [{**THREE["placement"][0], "cluster": f"c-{number}"} for number in range(count)]}


@pytest.mark.parametrize(
    ("document", "outdated", "spares"),
    [
        (THREE, [], set()),
        (THREE, [2], {0}),
        (placed(2), [2], {1}),
        (placed(2), [1, 3], {0}),
        (placed(3), [1, 2, 3], {0, 1, 2}),
        (DOCUMENT, [1], set()),  # without an address of its own the API server cannot move: nothing is replaced
    ],
)
async def test_room_is_asked_for_where_a_machine_will_be_replaced(
    document: dict[str, Any], outdated: list[int], spares: set[int]
) -> None:
    numbers = range(1, document["nodes"]["count"] + 1)
    slots = [Slot(ordinal=number, kind="join", phase="made") for number in numbers]
    machines = tuple(machine(number, hardware=(2, 2) if number in outdated else (4, 4)) for number in numbers)
    made = situation(document, *slots, machines=machines)
    await preflight_checks(made.situation)
    assert made.cloud.spares == spares
