"""What a gateway told: its steps, machines, findings and events, for API and pages."""

from __future__ import annotations

from sqlalchemy import select

from pcg.console.auth import Action, Actor, require
from pcg.console.gateway_state import machines_of, status_of, steps_of
from pcg.console.gateways import find
from pcg.console.paging import Page, page_of
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway, StoredEvent
from pcg.console.views import EventView, MachineView
from pcg.model.records import Finding, StepReport


class Observations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def steps(self, actor: Actor, gateway_id: str) -> list[StepReport]:
        """All ten, in order."""
        row = await self._row(actor, gateway_id)
        return steps_of(row, status_of(row))

    async def machines(self, actor: Actor, gateway_id: str) -> list[MachineView]:
        return machines_of(status_of(await self._row(actor, gateway_id)))

    async def findings(self, actor: Actor, gateway_id: str) -> list[Finding]:
        """Findings and, with severity info, notices."""
        status = status_of(await self._row(actor, gateway_id))
        return status.findings if status else []

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
