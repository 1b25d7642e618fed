"""How much is stored of each gateway's events, and the removal of the oldest where it is too much.

`reports.py` says what it stored by `added`, which only counts in memory. The task `run` measures a gateway when it is
first heard of, and removes in batches beside everything else; an acknowledgement never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from sqlalchemy import ColumnElement, LargeBinary, Text, cast, delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console.collapsed_audit import QUARTER_HOUR, CollapsedAudit
from pcg.console.event_rows import ROW_BYTES
from pcg.console.settings import EVENTS_OF_GATEWAY, EVENTS_OF_GATEWAY_BYTES
from pcg.console.store.database import Database
from pcg.console.store.models import StoredEvent
from pcg.console.store.whole import whole

_log = logging.getLogger(__name__)

BATCH = 500
"""events removed in one transaction"""

KEPT_PART = 0.95
"""of the limit, once it was reached: so that not every further event removes one"""

REMEMBERED = 10_000
_PAUSE_SECONDS = 0.05
"""between two batches, for the others who write"""
_AFTER_FAILURE_SECONDS = 10.0


@dataclass
class Volume:
    events: int
    bytes: int

    def fits(self, events: float, size: float) -> bool:
        return self.events <= events and self.bytes <= size


class StoredVolumes:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: CollapsedAudit,
        *,
        most_events: int = EVENTS_OF_GATEWAY,
        most_bytes: int = EVENTS_OF_GATEWAY_BYTES,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._volumes: OrderedDict[str, Volume] = OrderedDict()
        """of gateways that sent lately; who is forgotten is measured again"""
        self._to_do: OrderedDict[str, None] = OrderedDict()
        self._told = asyncio.Event()

    def added(self, gateway_id: str, events: int, size: int) -> None:
        """After the commit."""
        volume = self._volumes.get(gateway_id)
        if volume is not None:
            volume.events += events
            volume.bytes += size
            self._volumes.move_to_end(gateway_id)
        if volume is None or not volume.fits(self._most_events, self._most_bytes):
            self._to_do[gateway_id] = None
            self._told.set()

    async def run(self) -> NoReturn:
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self.work()
            except SQLAlchemyError:
                _log.exception("events beyond the limit could not be removed; tried again")
                self._told.set()
                await self._clock.sleep(_AFTER_FAILURE_SECONDS)

    async def work(self) -> None:
        """All that is to do now."""
        while self._to_do:
            gateway_id = next(iter(self._to_do))
            await self._trim(gateway_id)
            self._to_do.pop(gateway_id, None)

    async def _trim(self, gateway_id: str) -> None:
        volume = await whole(self._measured(gateway_id))
        if volume.fits(self._most_events, self._most_bytes):
            return
        while not volume.fits(self._most_events * KEPT_PART, self._most_bytes * KEPT_PART):
            removed = await whole(self._remove_oldest(gateway_id, volume))
            if removed is None:
                # What was counted is not there: the retention, or the gateway's deletion, removed it meanwhile.
                await whole(self._measured(gateway_id))
                return
            before, events, size = removed
            volume.events -= events
            volume.bytes -= size
            self._audit.note(
                "events-removed",
                reason="too-many",
                gateway_id=gateway_id,
                count=events,
                every=QUARTER_HOUR,
                received_until=f"{before:%Y-%m-%d %H:%M:%S} UTC",
            )
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _measured(self, gateway_id: str) -> Volume:
        async with self._database.read() as session:
            query = select(func.count(), func.sum(_size(session))).where(StoredEvent.gateway_id == gateway_id)
            events, size = (await session.execute(query)).one()
        # Kept as one object: what is stored from now on is counted into it, also while it is trimmed.
        volume = self._volumes[gateway_id] = Volume(int(events), int(size or 0))
        self._volumes.move_to_end(gateway_id)
        if len(self._volumes) > REMEMBERED:
            self._volumes.popitem(last=False)
        return volume

    async def _remove_oldest(self, gateway_id: str, volume: Volume) -> tuple[datetime, int, int] | None:
        """One batch. When its last event was received, and how many events and bytes went; None: there are none."""
        async with self._database.read() as session:
            query = (
                select(StoredEvent.position, StoredEvent.received_at, _size(session))
                .where(StoredEvent.gateway_id == gateway_id)
                .order_by(StoredEvent.position)
                .limit(BATCH)
            )
            rows = (await session.execute(query)).all()
        events = size = 0
        last = None
        for position, received_at, row_size in rows:
            if Volume(volume.events - events, volume.bytes - size).fits(
                self._most_events * KEPT_PART, self._most_bytes * KEPT_PART
            ):
                break
            events, size, last = events + 1, size + int(row_size), (position, received_at)
        if last is None:
            return None
        until, received_at = last
        async with self._database.write() as session:
            await session.execute(
                delete(StoredEvent).where(StoredEvent.gateway_id == gateway_id, StoredEvent.position <= until)
            )
        return received_at, events, size


def _size(session: AsyncSession) -> ColumnElement[int]:
    """In bytes, as `event_rows.row_bytes` counts them. Older SQLite has no octet_length."""
    columns = (StoredEvent.message, StoredEvent.fields, StoredEvent.finding)
    if session.get_bind().dialect.name == "sqlite":
        message, fields, finding = (func.length(cast(column, LargeBinary)) for column in columns)
    else:
        message, fields, finding = (func.octet_length(cast(column, Text)) for column in columns)
    return message + fields + func.coalesce(finding, 0) + ROW_BYTES
