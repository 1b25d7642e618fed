"""What a gateway told: its steps, machines, findings and events, for API and pages.

Open findings stand in the status. The history of those that are over is made of the events that told of each closing,
so it is complete however long the gateway was away, and lasts as long as events are kept.
"""

from __future__ import annotations

from sqlalchemy import select

from pcg.console.auth import Action, Actor, require
from pcg.console.gateway_state import machines_of, status_of, steps_of
from pcg.console.gateways import find
from pcg.console.paging import Page, page_of
from pcg.console.presence import Presence
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway, StoredEvent
from pcg.console.views import EventView, FindingView, MachineView
from pcg.model.records import FINDING_CLOSED, StepReport


class Observations:
    def __init__(self, database: Database, presence: Presence) -> None:
        self._database = database
        self._presence = presence

    async def steps(self, actor: Actor, gateway_id: str) -> list[StepReport]:
        """All ten, in order."""
        row = await self._row(actor, gateway_id)
        return steps_of(row, status_of(row))

    async def machines(self, actor: Actor, gateway_id: str) -> list[MachineView]:
        return machines_of(status_of(await self._row(actor, gateway_id)))

    async def findings(self, actor: Actor, gateway_id: str) -> list[FindingView]:
        """Open findings and, with severity info, notices. Of a gateway that is away: as it told them last."""
        row = await self._row(actor, gateway_id)
        status = status_of(row)
        last_told = None
        if not self._presence.connected(gateway_id):
            last_told = self._presence.last_seen(gateway_id) or row.last_seen or row.status_at
        findings = status.findings if status else []
        return [FindingView(**finding.model_dump(), last_told=last_told) for finding in findings]

    async def closed_findings(
        self, actor: Actor, gateway_id: str, *, before: int | None = None, limit: int
    ) -> Page[FindingView]:
        """The history, the latest first; `before` is the cursor of the page before."""
        query = (
            select(StoredEvent)
            # `finding` is asked for too because the index holds only events that have one.
            .where(StoredEvent.gateway_id == gateway_id, StoredEvent.finding.is_not(None))
            .where(StoredEvent.reason == FINDING_CLOSED)
            .order_by(StoredEvent.position.desc())
            .limit(limit + 1)
        )
        if before is not None:
            query = query.where(StoredEvent.position < before)
        async with self._database.read() as session:
            require(actor, Action.SEE_GATEWAYS, await find(session, gateway_id))
            rows = list(await session.scalars(query))
        told = [(row.finding or {}, row.at) for row in rows[:limit]]
        items = [FindingView.model_validate({**finding, "closed": finding.get("closed") or at}) for finding, at in told]
        return Page(items=items, next=str(rows[limit - 1].position) if len(rows) > limit else None)

    async def events(self, actor: Actor, gateway_id: str, *, after: int = 0, limit: int) -> Page[EventView]:
        """In order, those after the position `after`."""
        query = (
            select(StoredEvent)
            .where(StoredEvent.gateway_id == gateway_id, StoredEvent.position > after)
            .order_by(StoredEvent.position)
            .limit(limit + 1)
        )
        async with self._database.read() as session:
            require(actor, Action.SEE_GATEWAYS, await find(session, gateway_id))
            rows = list(await session.scalars(query))
        return page_of([EventView.model_validate(row) for row in rows], limit, lambda event: str(event.position))

    async def latest_events(self, actor: Actor, gateway_id: str, limit: int) -> list[EventView]:
        """The newest `limit`, in order."""
        query = (
            select(StoredEvent)
            .where(StoredEvent.gateway_id == gateway_id)
            .order_by(StoredEvent.position.desc())
            .limit(limit)
        )
        async with self._database.read() as session:
            require(actor, Action.SEE_GATEWAYS, await find(session, gateway_id))
            rows = list(await session.scalars(query))
        return [EventView.model_validate(row) for row in reversed(rows)]

    async def _row(self, actor: Actor, gateway_id: str) -> Gateway:
        async with self._database.read() as session:
            row = await find(session, gateway_id)
            require(actor, Action.SEE_GATEWAYS, row)
            return row
