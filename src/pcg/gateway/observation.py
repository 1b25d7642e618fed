"""What the gateway tells of itself: the reconciler's status, with what diagnosis finds in it and in jet.

The session asks it for the present status and waits on it for the next; it also has the openings and closings of
findings told in events, session or not. Made by the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from pcg.clock import Clock
from pcg.diagnosis.facts import Facts, JetFact, WayFact
from pcg.errors import PcgError
from pcg.gateway.open_findings import OpenFindings
from pcg.model.desired import DesiredState
from pcg.model.drift import Drift
from pcg.model.records import Finding, GatewayStatus

KEEP_SECONDS = 0.2
"""what changes in between is kept together"""

LOOK_SECONDS = 1.0
"""between two looks for findings that opened or closed, at least"""

WRITE_AGAIN_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Diagnose(Protocol):
    """`pcg.diagnosis.engine.diagnose`."""

    def __call__(self, facts: Facts, earlier: Sequence[Finding] = ()) -> list[Finding]: ...


class Reconciling(Protocol):
    """The part of the reconciler that is looked at."""

    def status(self) -> GatewayStatus: ...

    def drifts(self) -> Sequence[Drift]: ...

    @property
    def desired(self) -> DesiredState | None: ...

    async def wait_status_changed(self, revision: int) -> int: ...


class Observation:
    """Counts its own revisions, since either source may change alone."""

    def __init__(
        self,
        reconciler: Reconciling,
        jets: Callable[[], Sequence[JetFact]],
        diagnose: Diagnose,
        clock: Clock,
        opened: OpenFindings,
        more: Callable[[GatewayStatus], GatewayStatus] = lambda status: status,
        way: Callable[[], WayFact | None] = lambda: None,
    ) -> None:
        self._reconciler = reconciler
        self._jets = jets
        self._diagnose = diagnose
        self._clock = clock
        self._opened = opened
        self._more = more
        """adds what others know"""
        self._way = way
        self._findings: list[Finding] = []
        self._revision = 0
        self._moved = asyncio.Event()

    async def run(self) -> NoReturn:
        """Follow the reconciler, and tell of findings that open and close."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._tell_findings())
        raise AssertionError("neither task ends by itself")

    async def keep(self, kept: Callable[[Sequence[Finding]], None]) -> NoReturn:
        """Hand the findings over whenever they may have changed, session or not."""
        revision = -1
        while True:
            revision = await self.wait_status_changed(revision)
            kept(self.status().findings)
            await self._clock.sleep(KEEP_SECONDS)

    def changed(self) -> None:
        """Something that a status tells may have changed."""
        self._revision += 1
        self._moved.set()
        self._moved = asyncio.Event()

    def status(self) -> GatewayStatus:
        observed, desired = self._reconciler.status(), self._reconciler.desired
        facts = Facts(
            now=self._clock.now(),
            status=observed,
            jets=self._jets(),
            way=self._way(),
            drifts=self._reconciler.drifts(),
            vcenter_typed=desired.vcenter_typed if desired is not None else None,
        )
        self._findings = self._diagnose(facts, [*self._findings, *self._opened.findings])
        # What the reconciler found itself stays; the bound is that of GatewayStatus.
        return self._more(observed.model_copy(update={"findings": [*observed.findings, *self._findings][:64]}))

    async def wait_status_changed(self, revision: int) -> int:
        while self._revision <= revision:
            await self._moved.wait()
        return self._revision

    async def _follow(self) -> NoReturn:
        revision = -1
        while True:
            revision = await self._reconciler.wait_status_changed(revision)
            self.changed()

    async def _tell_findings(self) -> NoReturn:
        revision, failed = -1, False
        while True:
            try:
                self._opened.look(self.status().findings)
                failed = False
            except PcgError as error:
                # A full disk must not end the gateway. What was not told is told when there is room again.
                if not failed:
                    _log.warning("findings that opened or closed could not be told: %s", error)
                failed = True
            await self._clock.sleep(WRITE_AGAIN_SECONDS if failed else LOOK_SECONDS)
            if not failed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._opened.due()):
                        revision = await self.wait_status_changed(revision)
