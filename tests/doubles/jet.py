"""A jet that needs no console, for simulated time: it wants its token, and stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path


async def obedient_jet(environment: dict[str, str], log: Callable[[str], None], ready: Callable[[bool], None]) -> int:
    try:
        token = Path(environment["PCG_JET_TOKEN_FILE"]).read_text()
    except FileNotFoundError:
        log("jet: no authorization token")
        return 1
    log(f"jet: registered with {token}")
    ready(True)
    await asyncio.Event().wait()
    return 0
