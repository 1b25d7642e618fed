"""One command kept running under Kubernetes' restart policy: the installer's own jet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from pcg.clock import Clock
from pcg.processes.child import Child, start
from pcg.processes.restart_policy import RestartPolicy

WORDS = 4
"""lines that are kept of a run"""


class Supervised:
    """`back_off`: it ended and waits to be started again (CrashLoopBackOff). `on_change` hears every change of it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        clock: Clock,
        speed: float,
        on_line: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self.restarts = 0
        self.back_off = False
        self.last_exit: int | None = None
        """None: it has not ended yet, or was ended by `restart`"""
        self.words: tuple[str, ...] = ()
        """its last lines; those of the run before while the present one is silent"""
        self._said: deque[str] = deque(maxlen=WORDS)
        self._command = command
        self._environment = environment
        self._clock = clock
        self._on_line = on_line
        self._on_change = on_change
        self._policy = RestartPolicy(speed)
        self._child: Child | None = None
        self._again = asyncio.Event()

    async def run(self) -> NoReturn:
        """Until cancelled; the child ends then too."""
        try:
            while True:
                began = self._clock.monotonic()
                self._again.clear()
                self._said.clear()
                self._child = await start(self._command, self._environment, lambda _, line: self._heard(line))
                code = await self._child.wait()
                # What was ended on purpose tells nothing of why it ends.
                asked = self._again.is_set()
                self.last_exit, self.words = (None, ()) if asked else (code, tuple(self._said))
                await self._wait(self._policy.delay(self._clock.monotonic() - began))
                self.restarts += 1
        finally:
            if self._child is not None:
                await self._child.kill()

    def restart(self) -> None:
        """Now, without waiting for the end of a back-off: what caused it is gone."""
        self._policy.forget()
        self._again.set()
        if self._child is not None and self._child.running:
            self._child.terminate()

    def _heard(self, line: str) -> None:
        self._said.append(line)
        self.words = tuple(self._said)
        self._on_line(line)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._set_back_off(True)
        waiting = asyncio.create_task(self._clock.sleep(seconds))
        again = asyncio.create_task(self._again.wait())
        try:
            await asyncio.wait({waiting, again}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, again):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._set_back_off(False)

    def _set_back_off(self, value: bool) -> None:
        if value != self.back_off:
            self.back_off = value
            self._on_change()
