"""What the console does by itself beside answering: removing what is old, trimming what is too much, writing the audit
of refusals. `app.py` starts it with the application and ends it before the store is closed.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import NoReturn

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute

from pcg.clock import Clock
from pcg.console.collapsed_audit import CollapsedAudit
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.console.store.database import Database
from pcg.console.store.models import AuditEntry, StoredEvent
from pcg.console.store.whole import whole
from pcg.console.stored_volumes import StoredVolumes

_log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
BATCH = 500
"""rows removed in one transaction"""
_PAUSE_SECONDS = 0.05
"""between two batches, for the others who write"""

_Kept = type[StoredEvent] | type[AuditEntry]


class Housekeeping:
    """`keep_events`, `keep_audit` None: for ever."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: CollapsedAudit,
        volumes: StoredVolumes,
        *,
        keep_events: timedelta | None = None,
        keep_audit: timedelta | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._volumes = volumes
        self._keep_events = keep_events
        self._keep_audit = keep_audit
        self._running: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, service: Service, settings: Settings) -> Housekeeping:
        def days(number: int) -> timedelta | None:
            return timedelta(days=number) if number else None

        return cls(
            service.database,
            service.clock,
            service.collapsed,
            service.volumes,
            keep_events=days(settings.keep_events_days),
            keep_audit=days(settings.keep_audit_days),
        )

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Writes at last what is not in the audit yet."""
        if self._running is not None:
            self._running.cancel()
            # Its failure, if there was one, stands in the log.
            await asyncio.gather(self._running, return_exceptions=True)
        try:
            await self._audit.write(everything=True)
        except SQLAlchemyError:
            _log.exception("the last refusals could not be written to the audit")

    async def remove_old(self) -> None:
        """Events and audit entries whose time is over. Who reads on behind a removed one misses nothing else."""
        now = self._clock.now()
        for table, time, keep in (
            (StoredEvent, StoredEvent.received_at, self._keep_events),
            (AuditEntry, AuditEntry.at, self._keep_audit),
        ):
            if keep is None:
                continue
            removed = await self._remove_before(table, time, now - keep)
            if removed:
                _log.info("%s: %d removed that were older than %s", table.__tablename__, removed, keep)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._audit.run())
                group.create_task(self._volumes.run())
                group.create_task(self._every_hour())
        except Exception:
            _log.exception("the console's housekeeping failed; it goes on at the next start")
            raise

    async def _every_hour(self) -> NoReturn:
        while True:
            try:
                await self.remove_old()
            except SQLAlchemyError:
                _log.exception("what is old could not be removed; tried again in an hour")
            await self._clock.sleep(EVERY.total_seconds())

    async def _remove_before(self, table: _Kept, time: InstrumentedAttribute[datetime], before: datetime) -> int:
        removed = 0
        while number := await whole(self._remove_batch(table, time, before)):
            removed += number
            await self._clock.sleep(_PAUSE_SECONDS)
        return removed

    async def _remove_batch(self, table: _Kept, time: InstrumentedAttribute[datetime], before: datetime) -> int:
        """Of the oldest rows those that are too old. Positions rise with time, so a batch without any is the end."""
        async with self._database.read() as session:
            rows = await session.execute(select(table.position, time).order_by(table.position).limit(BATCH))
            old = [position for position, at in rows if at < before]
        if old:
            async with self._database.write() as session:
                await session.execute(delete(table).where(table.position.in_(old)))
        return len(old)
