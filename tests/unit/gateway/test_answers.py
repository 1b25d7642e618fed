"""What the gateway answers of its cloud, over a connection that the reconciler waits on at the same time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pcg.clock import SystemClock
from pcg.clouds.base import Check, Inventory, Offered, OfferedKind
from pcg.errors import NotFound, ResourcesMissing
from pcg.gateway.answers import requests_of
from pcg.model.configuration import Configuration, parse_configuration
from pcg.model.desired import DesiredState

CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:1", "username": "u"},
    "placement": [{"datacenter": "d", "cluster": "c", "datastore": "s", "network": "n"}],
    "template": {"folder": "images", "image": "node"},
}


class Connection:
    """Only what a request may call. A list of machines is no such thing: the reconciler, which waits for what changed
    since its own last one, would not hear of a change in between."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.checked: list[Configuration] = []

    async def check(self, configuration: Configuration) -> list[Check]:
        self.checked.append(configuration)
        problem = ResourcesMissing("too little", reason="memory-missing", fields={"needed": "8 GiB"})
        return [Check("memory", False, "too little", problem), Check("time", None, "who knows")]

    async def inventory(self, template_folder: str) -> Inventory:
        self.folders.append(template_folder)
        return [Offered(OfferedKind.DATACENTER, name, name) for name in ("dc-1", "dc-2")]


class Reconciler:
    clock = SystemClock()

    def __init__(self, configuration: dict[str, Any] | None) -> None:
        self.connection = Connection()
        parsed = parse_configuration(configuration)[0] if configuration else None
        self.desired = DesiredState(generation=1, incarnation=1, mode="run", configuration=parsed)

    async def preflight(self, configuration: Configuration) -> list[Check]:
        return await self.connection.check(configuration)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        yield self.connection


async def test_a_preflight_tells_each_check() -> None:
    reconciler = Reconciler(CONFIGURATION)
    preflight = requests_of(reconciler)["preflight"]  # type: ignore[arg-type]
    memory, time = (await preflight({}))["checks"]
    assert (memory["name"], memory["ok"], memory["problem"]["reason"]) == ("memory", False, "memory-missing")
    assert memory["problem"]["fields"] == {"needed": "8 GiB"}
    assert (time["ok"], time["problem"]) == (None, None)
    await preflight({"configuration": CONFIGURATION | {"nodes": {"size": "large"}}})
    assert [checked.nodes.size for checked in reconciler.connection.checked] == ["medium", "large"]


async def test_an_inventory_has_the_templates_of_the_configured_folder() -> None:
    reconciler = Reconciler(CONFIGURATION)
    inventory = requests_of(reconciler)["inventory"]  # type: ignore[arg-type]
    assert [entry["name"] for entry in (await inventory({}))["datacenters"]] == ["dc-1", "dc-2"]
    assert [entry["name"] for entry in (await inventory({"datacenter": "dc-2"}))["datacenters"]] == ["dc-2"]
    unconfigured = Reconciler(None)
    await requests_of(unconfigured)["inventory"]({})  # type: ignore[arg-type]
    assert (reconciler.connection.folders, unconfigured.connection.folders) == (["images"] * 2, ["spectro-templates"])
    with pytest.raises(NotFound):
        await requests_of(unconfigured)["preflight"]({})  # type: ignore[arg-type]
