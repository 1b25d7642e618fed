"""The way of one log bundle from its gateway to this console's disk: begin, wait, fetch, compare, look at, end.

    carry     over the gateway's session, which may break at any moment: the same question is asked again until the time
              is over; after a restart of the console it goes on where the file ends
    compare   size and SHA-256 as the gateway told them
    analyse   in a child process, one at a time in this console

A gateway may be hostile: each answer must be exactly what was asked for, so there are at most so many as the largest
bundle has pieces, and whatever never ends runs into a limit of time. Started by `bundles.py`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pcg.bundle.analysis import CPU_SECONDS, Analysis
from pcg.clock import Clock
from pcg.console.bundle_records import BundleFolder, BundleRecord, BundleState
from pcg.console.hub import Hub
from pcg.errors import Conflict, PcgError, ProtocolError, ResourcesMissing, TryAgain
from pcg.model.problems import problem_at
from pcg.model.records import Problem
from pcg.processes.child import module_command, start
from pcg.wire.bundle import CHUNK_BYTES, MAXIMUM_BUNDLE_BYTES, BundleChunk, BundleQuestion, BundleStatus

_Answer = TypeVar("_Answer", bound=BaseModel)
_ANALYSIS = module_command("pcg.bundle.analysis")
_ANALYSIS_BYTES = 16 << 20
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "PYTHONPATH")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransferLimits:
    """Seconds."""

    collecting: float = 600.0
    """until the gateway has made it; it gives up by itself before"""
    away: float = 600.0
    """without a single answer"""
    whole: float = 3600.0
    look_every: float = 1.0
    analysing: float = CPU_SECONDS + 60.0


class Transfer:
    """`changed` is told after each change of `record`, and saves nothing: `run` does, at each new state."""

    def __init__(
        self,
        record: BundleRecord,
        folder: BundleFolder,
        hub: Hub,
        clock: Clock,
        analysing: asyncio.Lock,
        changed: Callable[[], None],
        limits: TransferLimits,
    ) -> None:
        self._record = record
        self._folder = folder
        self._hub = hub
        self._clock = clock
        self._analysing = analysing
        self._changed = changed
        self._limits = limits
        self._began = self._answered = clock.monotonic()

    async def run(self) -> None:
        """To its end, good or bad; raises nothing but CancelledError, which leaves all as it is for the next start."""
        try:
            try:
                if self._record.state is not BundleState.ANALYSING:
                    await self._carry_in_time()
                await self._analyse()
                await asyncio.to_thread(self._folder.finish, self._record.id)
                self._become(BundleState.READY)
            except PcgError as error:
                self._fail(error)
            except OSError as error:
                self._fail(_unwritable(error))
        except OSError:
            _log.exception("the state of bundle %s could not be kept", self._record.id)
            self._record.state = BundleState.FAILED
        self._changed()
        await self._let_go()

    async def _carry_in_time(self) -> None:
        try:
            async with asyncio.timeout(self._limits.whole):
                await self._carry()
        except TimeoutError:
            raise _too_slow("The bundle did not come", self._limits.whole) from None

    async def _carry(self) -> None:
        record = self._record
        status = await self._ask(BundleStatus, "begin", pseudonyms=record.pseudonyms)
        if record.state is BundleState.ASKED:
            self._become(BundleState.COLLECTING)
        while status.state == "collecting":
            if self._clock.monotonic() - self._began > self._limits.collecting:
                raise _too_slow("The gateway did not make the bundle", self._limits.collecting)
            record.items = status.items
            self._changed()
            await self._clock.sleep(self._limits.look_every)
            status = await self._ask(BundleStatus, "status")
        if status.state != "ready":
            raise _told(status.problem)
        if not 0 < status.size <= MAXIMUM_BUNDLE_BYTES or not status.sha256:
            raise ProtocolError(
                "The gateway's bundle has a size that none can have.",
                "bundle-size",
                [f"{status.size} bytes; {MAXIMUM_BUNDLE_BYTES} are allowed"],
            )
        if record.sha256 != status.sha256 or record.received > status.size:
            record.received = 0  # it was made anew: what has come is of another one
        record.size, record.sha256, record.items = status.size, status.sha256, status.items
        self._become(BundleState.RECEIVING)
        while record.received < record.size:
            await self._fetch(record, record.size)
        if await asyncio.to_thread(self._folder.digest, record.id) != record.sha256:
            raise ProtocolError(
                "What came is not what the gateway said that it sends.",
                "bundle-damaged",
                ["its SHA-256 is another one"],
                remedy=["Ask for a new one."],
            )

    async def _fetch(self, record: BundleRecord, size: int) -> None:
        answer = await self._ask(BundleChunk, "chunk", offset=record.received)
        try:
            data = base64.b64decode(answer.data, validate=True)
        except (binascii.Error, ValueError):
            raise _not_asked() from None
        if answer.offset != record.received or len(data) != min(CHUNK_BYTES, size - record.received):
            raise _not_asked()
        await asyncio.to_thread(self._folder.append, record.id, record.received, data)
        record.received += len(data)
        self._changed()

    async def _analyse(self) -> None:
        self._become(BundleState.ANALYSING)
        result = self._folder.analysis(self._record.id)
        async with self._analysing:
            code = await _run_analysis(self._folder.part(self._record.id), result, self._limits.analysing)
        try:
            self._record.analysis = Analysis.model_validate_json(await asyncio.to_thread(_bounded, result))
        except (OSError, ValidationError):
            raise ProtocolError(
                "What the gateway sent is no log bundle that can be read.",
                "bundle-invalid",
                [f"reading it ended with {code}"],
                remedy=["Make one on the machine itself with `pcg bundle`."],
            ) from None
        finally:
            result.unlink(missing_ok=True)

    async def _ask(self, kind: type[_Answer], action: str, **more: Any) -> _Answer:
        """Again and again while there is no answer. Raises what the gateway told, ProtocolError, at last TryAgain."""
        question = BundleQuestion.model_validate({"action": action, "bundle": self._record.id, **more})
        while True:
            try:
                answer = await self._hub.go_on(self._record.gateway_id, "bundle", question.model_dump())
            except TryAgain:
                if self._clock.monotonic() - self._answered > self._limits.away:
                    raise
                await self._clock.sleep(self._limits.look_every)
                continue
            self._answered = self._clock.monotonic()
            try:
                return kind.model_validate(answer)
            except ValidationError:
                raise _not_asked() from None

    async def _let_go(self) -> None:
        """The gateway need not keep it any longer; if it does not hear this, it removes it by itself."""
        question = BundleQuestion(action="end", bundle=self._record.id)
        with suppress(PcgError):
            await self._hub.go_on(self._record.gateway_id, "bundle", question.model_dump())

    def _fail(self, error: PcgError) -> None:
        _log.info("bundle %s of gateway %s failed: %s", self._record.id, self._record.gateway_id, error.reason)
        self._folder.drop_part(self._record.id)
        self._record.problem = problem_at(error, self._clock.now())
        self._become(BundleState.FAILED)

    def _become(self, state: BundleState) -> None:
        self._record.state, self._record.changed_at = state, self._clock.now()
        self._folder.save(self._record)
        self._changed()


async def _run_analysis(archive: Path, result: Path, seconds: float) -> int | str:
    """How it ended."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # What it says may quote the archive: only what it writes is read, and that as data.
    child = await start([*_ANALYSIS, str(archive), str(result)], environment, lambda stream, line: None)
    try:
        async with asyncio.timeout(seconds):
            return await child.wait()
    except TimeoutError:
        return "a timeout"
    finally:
        if child.running:
            await asyncio.shield(child.kill())


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_ANALYSIS_BYTES)


def _told(problem: Problem | None) -> PcgError:
    if problem is None:
        return _not_asked()
    return Conflict(
        problem.what, problem.reason, problem.evidence, problem.cause, problem.remedy, problem.link, problem.fields
    )


def _not_asked() -> ProtocolError:
    return ProtocolError("The gateway answered something else than was asked.", "answer-invalid")


def _too_slow(what: str, seconds: float) -> TryAgain:
    return TryAgain(
        f"{what} within {seconds / 60:g} minutes.",
        "deadline-exceeded",
        remedy=["Look at the gateway's log, and try again."],
    )


def _unwritable(error: OSError) -> ResourcesMissing:
    return ResourcesMissing(
        "The console cannot keep the bundle.",
        "bundle-not-kept",
        [error.strerror or str(error)],
        remedy=["Make room on the disk of the console's data folder."],
    )
