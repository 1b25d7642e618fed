"""Crash points: the incarnation of a gateway dies at an exact boundary, and nothing of it acts afterwards.

Boundaries are: before a call to the cloud is sent, after it was sent (its effect is there, its answer is not), after
its answer, before a commit, after a commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pcg.clouds.base import Connection, Login
from pcg.gateway.store import GatewayStore


class Killed(BaseException):
    """As SIGKILL: no handler runs."""


class Fuse:
    """Burns one unit a boundary; at the end the incarnation is dead for good."""

    def __init__(self, length: int | None) -> None:
        self._left = length
        self.dead = False
        self.crossed = 0

    def boundary(self) -> None:
        if self.dead:
            raise Killed
        self.crossed += 1
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.dead = True
                raise Killed


class CrashingConnection:
    """A connection that dies with its fuse, before or after a call has had its effect."""

    def __init__(self, inner: Connection, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            self._fuse.boundary()
            answer = await method(*arguments, **options)
            self._fuse.boundary()
            return answer

        return call


class CrashingCloud:
    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Any]:
        self._fuse.boundary()
        async with self._inner.connect(login) as connection:
            yield CrashingConnection(connection, self._fuse)


class CrashingStore(GatewayStore):
    """What was not committed is lost with the process; what was is not."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        self.fuse = fuse
        self.durable = 0
        """last number that was committed"""
        super().__init__(path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        outermost = not self._depth
        if outermost:
            self.fuse.boundary()
        with super().transaction():
            yield
            if outermost:
                self.fuse.boundary()
        if outermost:
            self.durable = self._number
            self.fuse.boundary()
