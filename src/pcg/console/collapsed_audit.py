"""Audit of what can happen thousands of times a second: refusals, wrong passwords, a gateway's flood.

Whoever refuses says so by `note`, which writes nothing. The first of its kind is written at once by the task `run`,
those of the following minute together in one row with their `count`; so no flood can fill the store or slow an answer.
`service.py` holds the one `CollapsedAudit`, `housekeeping.py` runs it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, NoReturn

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from pcg.clock import Clock
from pcg.console.store.database import Database
from pcg.console.store.models import AuditEntry, Gateway
from pcg.console.store.whole import whole

_log = logging.getLogger(__name__)

MINUTE = 60.0
QUARTER_HOUR = 900.0

MAXIMUM_KINDS = 60
"""kinds told apart within a minute; what comes beyond is told without its address"""

MANY = "many"
"""in place of an address"""

_PAUSE_SECONDS = 1.0
"""between two transactions"""
_LONGEST = 254


class _Kind(NamedTuple):
    """Two that agree in all of this are told together."""

    action: str
    reason: str
    address: str
    email: str
    gateway_id: str


@dataclass
class _Kept:
    every: float
    at: datetime
    written: float | None = None
    count: int = 0
    """not written yet"""
    details: dict[str, str] = field(default_factory=dict)


class CollapsedAudit:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: dict[_Kind, _Kept] = {}
        self._noted = asyncio.Event()
        self._writing = asyncio.Lock()

    def note(
        self,
        action: str,
        *,
        reason: str = "",
        address: str = "",
        email: str = "",
        gateway_id: str = "",
        count: int = 1,
        every: float = MINUTE,
        **details: str,
    ) -> None:
        """`action`, `reason` come from closed lists, `email` is a user's and `gateway_id` a gateway's; the rest is
        anybody's. Of `details` the latest are told. Never hand in anything secret."""
        kind = _Kind(action, reason, _clean(address), email, gateway_id)
        if kind not in self._kept and len(self._kept) >= MAXIMUM_KINDS:
            self._forget_over()
            if len(self._kept) >= MAXIMUM_KINDS:
                kind = kind._replace(address=MANY)
        kept = self._kept.setdefault(kind, _Kept(every, self._clock.now()))
        kept.count += count
        kept.at = self._clock.now()
        kept.details = {name: _clean(value) for name, value in details.items()}
        self._noted.set()

    async def run(self) -> NoReturn:
        while True:
            await self._noted.wait()
            self._noted.clear()
            try:
                await whole(self.write())
            except SQLAlchemyError:
                _log.exception("refusals could not be written to the audit; tried again")
            if any(kept.count for kept in self._kept.values()):
                self._noted.set()
            await self._clock.sleep(_PAUSE_SECONDS)

    async def write(self, *, everything: bool = False) -> None:
        """What is due, in one transaction; `everything` at the end. When the store fails nothing is lost."""
        # Two at once would each write what neither has taken off the count yet.
        async with self._writing:
            self._forget_over()
            due = {
                kind: kept.count for kind, kept in self._kept.items() if kept.count and (everything or self._over(kept))
            }
            if not due:
                return
            async with self._database.write() as session:
                known = await session.execute(
                    select(Gateway.id, Gateway.name).where(Gateway.id.in_({kind.gateway_id for kind in due} - {""}))
                )
                names = {row.id: row.name for row in known}
                session.add_all(_row(kind, self._kept[kind], count, names) for kind, count in due.items())
            for kind, count in due.items():
                self._kept[kind].count -= count
                self._kept[kind].written = self._clock.monotonic()

    def _forget_over(self) -> None:
        self._kept = {kind: kept for kind, kept in self._kept.items() if kept.count or not self._over(kept)}

    def _over(self, kept: _Kept) -> bool:
        return kept.written is None or self._clock.monotonic() - kept.written >= kept.every


def _row(kind: _Kind, kept: _Kept, count: int, names: dict[str, str]) -> AuditEntry:
    told = {"reason": kind.reason, "address": kind.address, "email": kind.email, **kept.details}
    return AuditEntry(
        at=kept.at,
        actor="console",
        action=kind.action,
        gateway_id=kind.gateway_id or None,
        gateway_name=names.get(kind.gateway_id),
        details={name: value for name, value in told.items() if value} | {"count": count},
    )


def _clean(text: str) -> str:
    return "".join(character for character in text[:_LONGEST] if character.isprintable())
