"""Who changed what, written in the same transaction as the change. Called by every file that holds rules.

What changes nothing and may happen all the time, such as a refusal, goes through `collapsed_audit.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.auth import Action, Actor, require
from pcg.console.paging import Page, page_of
from pcg.console.store.database import Database
from pcg.console.store.models import AuditEntry, Gateway
from pcg.console.views import AuditView


def record(
    session: AsyncSession,
    now: datetime,
    actor: Actor | str,
    action: str,
    gateway: Gateway | None = None,
    **details: Any,
) -> None:
    """`actor` is a user, or a name such as `installer NAME` or `console`. Never hand in anything secret."""
    session.add(
        AuditEntry(
            at=now,
            actor=actor.email if isinstance(actor, Actor) else actor[:254],
            action=action,
            gateway_id=gateway.id if gateway else None,
            gateway_name=gateway.name if gateway else None,
            details=details,
        )
    )


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(
        self, actor: Actor, *, after: int | None = None, limit: int, gateway_id: str | None = None
    ) -> Page[AuditView]:
        """Newest first; `after` is the position of the last entry that was seen."""
        require(actor, Action.SEE_AUDIT)
        query = select(AuditEntry).order_by(AuditEntry.position.desc()).limit(limit + 1)
        if after is not None:
            query = query.where(AuditEntry.position < after)
        if gateway_id is not None:
            query = query.where(AuditEntry.gateway_id == gateway_id)
        async with self._database.read() as session:
            rows = list(await session.scalars(query))
        return page_of([AuditView.model_validate(row) for row in rows], limit, lambda entry: str(entry.position))
