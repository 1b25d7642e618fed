"""One child process: started without a shell, heard line by line, stopped with its whole group, never left behind.

A child must not outlive a parent that is killed. `setpriv` (util-linux) sets the parent-death signal between fork and
exec; doing that in Python between fork and exec would not be safe beside threads. Where it is missing (not Linux), an
orphan ends when it next writes to its closed output. Used by `supervised.py`, the simulated kubelet and `pcg demo`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

LINE_BYTES = 64 * 1024
"""longer lines come in pieces of at most twice this"""

STOP_SECONDS = 5.0
"""between SIGTERM and SIGKILL"""

OnLine = Callable[[str, str], None]
"""stream (`stdout` or `stderr`) and line"""


class Child:
    """A running process. `wait` may be called by several and any number of times."""

    def __init__(self, process: asyncio.subprocess.Process, on_line: OnLine) -> None:
        self.pid = process.pid
        self._process = process
        self._over = asyncio.create_task(self._follow(on_line))

    async def wait(self) -> int:
        """The exit code (negative: the signal), once it has ended and its output was heard to the end."""
        return await asyncio.shield(self._over)

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def terminate(self) -> None:
        """SIGTERM to the process alone; does not wait."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def stop(self, within: float = STOP_SECONDS) -> int:
        """SIGTERM to the process, after `within` seconds SIGKILL to the group, which also ends what it left."""
        if self.running:
            self.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._process.wait()
        return await self.kill()

    async def kill(self) -> int:
        """SIGKILL to the whole group, as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return await self.wait()

    async def _follow(self, on_line: OnLine) -> int:
        streams = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        async with asyncio.TaskGroup() as group:
            for name, reader in streams.items():
                if reader is not None:
                    group.create_task(_hear(name, reader, on_line))
        return await self._process.wait()


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Python runs that module. `-P`: the folder that somebody is in may hold anything, modules too."""
    return sys.executable, "-P", "-m", module, *arguments


async def start(command: Sequence[str], environment: Mapping[str, str], on_line: OnLine) -> Child:
    """Start `command` with exactly that environment, in a process group of its own. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *_leash(),
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        process_group=0,
    )
    return Child(process, on_line)


@cache
def _leash() -> tuple[str, ...]:
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL", "--") if found else ()


async def _hear(name: str, reader: asyncio.StreamReader, on_line: OnLine) -> None:
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            line = end.partial
            if not line:
                return
        except asyncio.LimitOverrunError as overrun:
            line = await reader.readexactly(max(1, overrun.consumed))
        on_line(name, line.decode(errors="replace").rstrip("\r\n"))
