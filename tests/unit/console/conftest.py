"""A hub on a real store, and a gateway that is registered with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.gateway import GatewayDouble, ManualClock, open_service
from pcg.console.hub import Hub
from pcg.console.service import Service


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def service(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Service]:
    async with open_service(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
async def hub(service: Service) -> Hub:
    return Hub(service)


@pytest.fixture
async def gateway(service: Service, hub: Hub) -> GatewayDouble:
    return await GatewayDouble.registered(service, hub)
