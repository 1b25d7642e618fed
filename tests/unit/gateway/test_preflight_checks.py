"""What preflight is made of: what the configuration foretells, the cloud's own checks, and the ways that nodes need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pcg.clouds.base import Check
from pcg.errors import Unreachable
from pcg.gateway.preflight_checks import preflight_checks
from pcg.gateway.ways_ahead import Ahead
from pcg.model.configuration import parse_configuration
from unit.gateway.reconciler.making import DOCUMENT

OVERLAP = {"network": {"ntpServers": ["10.96.3.4"]}}


@dataclass
class CloudDouble:
    error: Exception | None = None

    async def check(self, configuration: Any) -> list[Check]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return [Check("memory", True, "enough")]


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


async def checked(ways: Ways, cloud: CloudDouble, *, standing: bool = False, **changes: Any) -> list[Check]:
    ahead = Ahead(parse_configuration(DOCUMENT | changes)[0], "https://console.example", "CA", standing)
    return await preflight_checks(cloud, ahead, ways)  # type: ignore[arg-type]


async def test_all_three_are_told() -> None:
    ways = Ways()
    checks = await checked(ways, CloudDouble())
    assert [(check.name, check.ok) for check in checks] == [
        ("configuration", True),
        ("memory", True),
        ("time server", None),
    ]
    assert [ahead.console_url for ahead in ways.tried] == ["https://console.example"]


@pytest.mark.parametrize(("standing", "ok"), [(False, False), (True, None)])
async def test_what_a_cluster_stands_with_does_not_stand_in_its_way(standing: bool, ok: bool | None) -> None:
    first, *_ = await checked(Ways(), CloudDouble(), standing=standing, **OVERLAP)
    assert (first.name, first.ok) == ("overlaps as configured", ok)
    assert "10.96.3.4" in first.what


async def test_a_cloud_that_fails_leaves_nothing_running() -> None:
    ways = Ways(ends=False)
    with pytest.raises(Unreachable):
        await checked(ways, CloudDouble(Unreachable("gone", reason="vcenter-unreachable")))
    assert ways.cancelled
