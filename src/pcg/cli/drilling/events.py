"""Whether all that a gateway wrote down is in the console: part of `recovered` where a session was lost. For `play`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from pcg.cli.client import ConsoleClient
from pcg.gateway.store_reading import looking_into


async def nothing_lost(state: Path, console: ConsoleClient, gateway_id: str) -> bool:
    """`state` is the installer's. Its outbox numbers the events of each of its writers without a gap, and the console
    has every one of them.
    """
    with looking_into(state / "gateway.db") as database:
        rows = database.execute("SELECT writer, number, event FROM outbox ORDER BY writer, number").fetchall()
    numbers: dict[str, list[int]] = {}
    for writer, number, _ in rows:
        numbers.setdefault(writer, []).append(number)
    written = Counter(_told(json.loads(event)) for *_, event in rows)
    told = Counter(_told(event) for event in await console.items(f"/gateways/{gateway_id}/events"))
    return all(found == list(range(1, len(found) + 1)) for found in numbers.values()) and not written - told


def _told(event: dict[str, str]) -> tuple[str, str]:
    return event["reason"], event["message"]
