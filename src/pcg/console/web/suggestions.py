"""Names that the form offers while it is filled in: what the gateway's own cloud has. Used by `configure.py`.

The form works without them, so nobody waits long for a gateway, and one that is away, slow or hostile costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pcg.clock import Clock
from pcg.console.auth import Action, Actor, may
from pcg.console.hub import Hub
from pcg.console.views import GatewayView
from pcg.errors import PcgError

SECONDS = 2.0
"""that a page waits at most; vCenters answer within one"""
KEPT_SECONDS = 60.0
"""a person presses several buttons of one form"""
MOST_NAMES = 500
"""of a kind: a browser's list of more is of no use"""
LONGEST = 512
"""as long as a name in the configuration may be"""
LISTS = {
    "datacenter": "datacenters",
    "cluster": "clusters",
    "resourcePool": "resource_pools",
    "folder": "folders",
    "datastore": "datastores",
    "network": "networks",
}
"""list of the gateway's answer by the form's field"""

Suggestions = Mapping[str, list[tuple[str, str]]]
"""by field: what is filled in, and what is said beside it"""


class Suggester:
    """One for all pages; keeps the last answer of each gateway for a minute."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._kept: dict[str, tuple[float, Suggestions]] = {}

    async def of(self, actor: Actor, gateway: GatewayView, *, ask: bool = True) -> Suggestions:
        """Empty when there is nothing to tell; `ask` False: only what is known already."""
        if not may(actor, Action.SEE_INVENTORY, gateway):
            return {}
        now = self._clock.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] < KEPT_SECONDS}
        if gateway.id in self._kept:
            return self._kept[gateway.id][1]
        if not ask or not gateway.connected or not gateway.configured:
            return {}
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._hub.request(gateway.id, "inventory", {}, actor)
        except (PcgError, TimeoutError):
            answer = {}  # kept too: a gateway that is slow shall not make each press of a button slow
        self._kept[gateway.id] = (now, suggestions_of(answer))
        return self._kept[gateway.id][1]


def suggestions_of(answer: Mapping[str, Any]) -> Suggestions:
    """From a gateway's answer, which is not trusted: whatever is not a list of names is left out."""
    found = {field: _names(answer.get(listed)) for field, listed in LISTS.items()}
    return {field: names for field, names in found.items() if names}


def _names(listed: Any) -> list[tuple[str, str]]:
    if not isinstance(listed, list):
        return []
    entries = [entry for entry in listed[: 4 * MOST_NAMES] if isinstance(entry, dict)]
    times = Counter(_text(entry, "name") for entry in entries)
    # Where a name stands for several things, its path is what a placement must say.
    chosen = {_text(entry, "name" if times[_text(entry, "name")] == 1 else "path"): _beside(entry) for entry in entries}
    return [(name, beside) for name, beside in chosen.items() if name][:MOST_NAMES]


def _text(entry: Mapping[str, Any], part: str) -> str:
    value = entry.get(part)
    return value if isinstance(value, str) and len(value) <= LONGEST else ""


def _beside(entry: Mapping[str, Any]) -> str:
    free = entry.get("free_gib")
    parts = [_text(entry, "cluster"), _text(entry, "datacenter"), f"{free} GiB free" if type(free) is int else ""]
    return ", ".join(part for part in parts if part)
