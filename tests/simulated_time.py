"""What worlds that live in simulated time stand on: a disk in memory where there is one, and a loop as every
`looptime` test has it, but for its haste.

looptime turns idly some forty times before it lets time go on. A loop in which nothing is ready, and no thread works
for it, is the same after each turn; in worlds of many hours these turns were a third of the work.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import looptime

MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
HASTE: dict[str, Any] = {"noop_cycles": 0}


def new_loop() -> asyncio.AbstractEventLoop:
    return looptime.new_event_loop(**HASTE)
