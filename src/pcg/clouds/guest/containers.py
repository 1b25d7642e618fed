"""How a simulated kubelet runs a container: as a real child process, or, in simulated time, as a coroutine.

There is no container file system: a volume is a folder on the node's disk, and values of the environment that name a
path under its mount are rewritten to that folder (`pod_environment.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from pcg.processes.child import Child, module_command, start

OnLine = Callable[[str, str], None]
"""stream (`stdout` or `stderr`) and line"""


@dataclass(frozen=True)
class HttpProbe:
    """`httpGet`: ready while the answer is 2xx or 3xx. Periods in seconds."""

    url: str
    starting_period: float
    """until it is ready for the first time"""
    period: float


@dataclass(frozen=True)
class ContainerSpec:
    name: str
    image: str
    environment: Mapping[str, str] = field(repr=False)
    probe: HttpProbe | None = None


class UnknownImage(Exception):
    """No registry has it: ErrImagePull."""


class RunningContainer(Protocol):
    async def wait(self) -> int:
        """The exit code."""
        ...

    def readiness(self) -> AsyncIterator[bool]:
        """Each change of readiness, the first included."""
        ...

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        ...

    async def kill(self) -> None: ...


class ContainerRuntime(Protocol):
    async def start(self, spec: ContainerSpec, on_line: OnLine) -> RunningContainer:
        """Raises UnknownImage, or OSError when it cannot be started."""
        ...


class ProcessContainers:
    """Real child processes. `commands` by image name without its tag; default: jet of this very installation."""

    def __init__(self, commands: Mapping[str, Sequence[str]] | None = None) -> None:
        jet = module_command("pcg.cli.main", "jet")
        self._commands = {"pcg/jet": jet} if commands is None else dict(commands)

    async def start(self, spec: ContainerSpec, on_line: OnLine) -> RunningContainer:
        command = self._commands.get(image_name(spec.image))
        if command is None:
            raise UnknownImage(spec.image)
        return _ProcessContainer(await start(command, spec.environment, on_line), spec.probe)


CoroutineContainer = Callable[[dict[str, str], Callable[[str], None], Callable[[bool], None]], Awaitable[int]]
"""From the environment, where its lines go, and where it tells its readiness; answers the exit code."""


class CoroutineContainers:
    """Coroutines in this loop, for simulated time: `{"pcg/jet": factory}`."""

    def __init__(self, factories: Mapping[str, CoroutineContainer]) -> None:
        self._factories = dict(factories)

    async def start(self, spec: ContainerSpec, on_line: OnLine) -> RunningContainer:
        factory = self._factories.get(image_name(spec.image))
        if factory is None:
            raise UnknownImage(spec.image)
        return _CoroutineContainer(factory, dict(spec.environment), on_line)


def image_name(image: str) -> str:
    """Without tag and digest; a registry's port is not taken for a tag."""
    plain = image.partition("@")[0]
    head, colon, tag = plain.rpartition(":")
    return head if colon and "/" not in tag else plain


class _ProcessContainer:
    def __init__(self, child: Child, probe: HttpProbe | None) -> None:
        self._child = child
        self._probe = probe

    async def wait(self) -> int:
        code = await self._child.wait()
        return code if code >= 0 else 128 - code

    async def readiness(self) -> AsyncIterator[bool]:
        if self._probe is None:
            yield True
            return
        ready = told = False
        # A real process lives in real time, whatever clock the simulation has; kubelets verify no certificate.
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=1.0) as client:  # noqa: S501
            while True:
                ready = await _answers(client, self._probe.url)
                if ready != told:
                    told = ready
                    yield ready
                await asyncio.sleep(self._probe.period if told else self._probe.starting_period)

    async def stop(self) -> None:
        await self._child.stop()

    async def kill(self) -> None:
        await self._child.kill()


class _CoroutineContainer:
    def __init__(self, factory: CoroutineContainer, environment: dict[str, str], on_line: OnLine) -> None:
        self._ready = False
        self._changed = asyncio.Event()
        self._run = asyncio.ensure_future(factory(environment, lambda line: on_line("stdout", line), self._set_ready))

    async def wait(self) -> int:
        return await asyncio.shield(self._run)

    async def readiness(self) -> AsyncIterator[bool]:
        told = False
        while True:
            changed, ready = self._changed, self._ready
            if ready != told:
                told = ready
                yield ready
                continue
            await changed.wait()

    async def stop(self) -> None:
        await self.kill()

    async def kill(self) -> None:
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run

    def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        self._changed.set()
        self._changed = asyncio.Event()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code < 400
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
