"""The gateway's answers to the verb `bundle`: one log archive at a time, made by a child process, given away in pieces.

It belongs to the process and not to a connection: a session that breaks finds it again. The archive lies in the state
directory (mode 0600) until the console has it, nobody asked for it for a while, or the gateway starts anew. The agent
runs it beside the session and hands `answer` to the table of requests.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ValidationError

from pcg.clock import Clock
from pcg.errors import Busy, Conflict, InvalidInput, NotFound, PcgError, SetupMissing, TryAgain
from pcg.gateway.identity import StateDirectory
from pcg.gateway.requests import problem_of
from pcg.model.records import Problem
from pcg.processes.child import Child, module_command, start
from pcg.wire.bundle import CHUNK_BYTES, BundleChunk, BundleQuestion, BundleStatus

IDLE_SECONDS = 900.0
"""an archive that nobody asked for so long is removed"""

ABANDONED_SECONDS = 120.0
"""one that nobody asked for so long gives way to another; a console asks every few seconds"""

MAKING_SECONDS = 420.0
"""the collecting itself ends after 300"""

_LOOK_SECONDS = 30.0
_COMMAND = module_command("pcg.gateway.bundle_process")
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "PYTHONPATH")

_log = logging.getLogger(__name__)


class _Result(BaseModel):
    """What the child process printed last."""

    path: Path | None = None
    size: int = 0
    sha256: str = ""
    problem: Problem | None = None


class _Making:
    """The present bundle."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.asked = now
        self.items = 0
        self.result: _Result | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def state(self) -> Literal["collecting", "ready", "failed"]:
        if self.result is None:
            return "collecting"
        return "ready" if self.result.path else "failed"


class BundleAnswer:
    """`root` is where the machine's files are looked for."""

    def __init__(self, state: StateDirectory, clock: Clock, *, root: Path = Path("/")) -> None:
        self._state = state
        self._folder = state.bundle
        self._clock = clock
        self._root = root
        self._present: _Making | None = None

    async def run(self) -> NoReturn:
        """Until cancelled; what an earlier process left is removed first, what this one made at last."""
        self._clear()
        try:
            while True:
                await self._clock.sleep(_LOOK_SECONDS)
                if self._present is not None and self._unasked(self._present) > IDLE_SECONDS:
                    await self._drop()
        finally:
            await self._drop()

    async def answer(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            question = BundleQuestion.model_validate(arguments)
        except ValidationError as error:
            evidence = [f"{item['loc']}: {item['msg']}" for item in error.errors(include_input=False)]
            raise InvalidInput("This is no question for a bundle.", "request-invalid", evidence) from None
        if question.action == "begin":
            await self._begin(question)
        present = self._present
        if present is None or present.name != question.bundle:
            if question.action == "end":
                return BundleStatus(state="ended").model_dump(mode="json")
            raise NotFound(
                "The gateway does not have this bundle any longer.",
                "bundle-unknown",
                cause="The gateway was started anew meanwhile, or nobody asked for it for a quarter of an hour.",
                remedy=["Ask for a new one."],
            )
        present.asked = self._clock.monotonic()
        if question.action == "end":
            await self._drop()
            return BundleStatus(state="ended").model_dump(mode="json")
        if question.action == "chunk":
            return (await self._chunk(present, question.offset)).model_dump(mode="json")
        return _told(present).model_dump(mode="json")

    async def _begin(self, question: BundleQuestion) -> None:
        present = self._present
        if present is not None and present.name == question.bundle:
            return
        if present is not None and present.state != "failed" and self._unasked(present) < ABANDONED_SECONDS:
            raise Busy(
                "The gateway is at another bundle now.",
                "bundle-busy",
                remedy=["Wait until that one is there, or some minutes if it was given up."],
            )
        await self._drop()
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise SetupMissing(
                "The gateway cannot write a bundle to its state directory.",
                "bundle-not-written",
                [f"{self._folder}: {error.strerror or error}"],
                remedy=["Make room on the gateway's disk."],
            ) from error
        making = self._present = _Making(question.bundle, self._clock.monotonic())
        making.task = asyncio.create_task(self._make(making, question.pseudonyms))

    async def _make(self, making: _Making, pseudonyms: bool) -> None:
        try:
            making.result = await self._made(making, pseudonyms)
        except PcgError as error:
            making.result = _Result(problem=problem_of(error, self._clock))

    async def _made(self, making: _Making, pseudonyms: bool) -> _Result:
        printed = list[str]()

        def hear(stream: str, line: str) -> None:
            if stream == "stdout":
                printed.append(line)
            else:
                making.items += 1

        options = ["--state", str(self._state.path), "--folder", str(self._folder), "--root", str(self._root)]
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            child = await start([*_COMMAND, *options, *(["--pseudonyms"] * pseudonyms)], environment, hear)
        except OSError as error:
            raise SetupMissing(
                "The gateway could not start what makes a bundle.", "bundle-not-made", [error.strerror or str(error)]
            ) from error
        code = await _ended(child)
        try:
            return _Result.model_validate_json("".join(printed))
        except ValidationError:
            # Its own words may hold anything that stood in a log: they stay in the gateway's.
            _log.error("making a bundle ended with %d", code)
            raise Conflict(
                "The gateway failed at making the bundle.",
                "bundle-not-made",
                [f"exit code {code}"],
                remedy=["Make it on the machine itself with `pcg bundle`, which says more."],
            ) from None

    async def _chunk(self, present: _Making, offset: int) -> BundleChunk:
        result = present.result
        if result is None or result.path is None:
            raise Conflict("The bundle is not ready.", "bundle-not-ready", [f"it is {present.state}"])
        if offset >= result.size:
            raise InvalidInput("The bundle ends before this offset.", "request-invalid", [f"{result.size} bytes"])
        data = await asyncio.to_thread(_read, result.path, offset)
        return BundleChunk(offset=offset, data=base64.b64encode(data).decode())

    async def _drop(self) -> None:
        present, self._present = self._present, None
        if present is not None and present.task is not None:
            present.task.cancel()
            await asyncio.gather(present.task, return_exceptions=True)
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _unasked(self, present: _Making) -> float:
        return self._clock.monotonic() - present.asked


async def _ended(child: Child) -> int:
    """The exit code. Raises TryAgain when it takes too long; it never outlives this call."""
    try:
        async with asyncio.timeout(MAKING_SECONDS):
            return await child.wait()
    except TimeoutError:
        raise TryAgain(
            f"Making the bundle took longer than {MAKING_SECONDS:g} s.",
            "bundle-not-made",
            remedy=["Make it on the machine itself with `pcg bundle`."],
        ) from None
    finally:
        if child.running:
            with suppress(ProcessLookupError):
                await asyncio.shield(child.kill())


def _told(present: _Making) -> BundleStatus:
    result = present.result or _Result()
    return BundleStatus(
        state=present.state, items=present.items, size=result.size, sha256=result.sha256, problem=result.problem
    )


def _read(path: Path, offset: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, CHUNK_BYTES, offset)
    finally:
        os.close(descriptor)
