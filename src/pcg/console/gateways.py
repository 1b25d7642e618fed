"""The rules of gateways themselves: make, show, pair, reset, delete. API and pages call it through `service.py`."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console import pairing_codes
from pcg.console.audit import record
from pcg.console.auth import Action, Actor, require
from pcg.console.gateway_state import (
    DELETE,
    IDLE,
    agreed_unsaved,
    ahead,
    machines_of,
    state_of,
    status_of,
    view_of,
)
from pcg.console.install_instructions import Installation
from pcg.console.paging import Page, page_of
from pcg.console.presence import Presence
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway, PairingCode
from pcg.console.streams import Streams, Topic
from pcg.console.tombstones import bury
from pcg.console.views import DeletionView, GatewayView, PairingView
from pcg.errors import Conflict, NotFound
from pcg.model.configuration import CloudKind
from pcg.model.states import GatewayState

_LEFT_OUT = 1_000_000
"""generations and incarnations: nobody made so many changes between a backup and its restore"""

_ID = re.compile(r"[0-9a-f-]{36}")


class Gateways:
    def __init__(
        self, database: Database, streams: Streams, presence: Presence, clock: Clock, installation: Installation
    ) -> None:
        self._database = database
        self._streams = streams
        self._presence = presence
        self._clock = clock
        self._installation = installation
        self.code_lifetime = pairing_codes.LIFETIME

    async def create(self, actor: Actor, name: str, cloud: CloudKind) -> PairingView:
        """Raises Conflict when the name is taken."""
        require(actor, Action.CREATE_GATEWAY)
        now = self._clock.now()
        row = Gateway(id=str(uuid.uuid4()), name=name, cloud=cloud.value, created_at=now)
        try:
            async with self._database.write() as session:
                session.add(row)
                await session.flush()
                issued = await pairing_codes.issue(session, row.id, now, self.code_lifetime)
                record(session, now, actor, "gateway-created", row, cloud=cloud.value)
        except IntegrityError:
            raise Conflict(
                f"There is a gateway {name!r} already.",
                reason="name-taken",
                remedy=["Choose another name, or delete the other gateway first."],
                fields={"field": "name"},
            ) from None
        self._streams.notify(row.id, Topic.STATUS)
        return self._installation.pairing_view(view_of(row, self._presence, now, now), issued)

    async def new_pairing_code(self, actor: Actor, gateway_id: str) -> PairingView:
        """On a registered gateway it lets another installer take the gateway over: re-pairing."""
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.MAKE_PAIRING_CODE, row)
            not_deleting(row)
            issued = await pairing_codes.issue(session, row.id, now, self.code_lifetime)
            record(session, now, actor, "pairing-code-made", row)
            await session.flush()
            view = await self._view(session, row)
        self._streams.notify(gateway_id, Topic.STATUS)
        return self._installation.pairing_view(view, issued)

    async def list_gateways(self, actor: Actor, *, after: str | None, limit: int) -> Page[GatewayView]:
        """By name; `after` is the last name that was seen."""
        require(actor, Action.SEE_GATEWAYS)
        query = select(Gateway).order_by(Gateway.name).limit(limit + 1)
        if after is not None:
            query = query.where(Gateway.name > after)
        async with self._database.read() as session:
            rows = list(await session.scalars(query))
            made = await _codes_made_at(session, [row.id for row in rows])
        now = self._clock.now()
        views = [view_of(row, self._presence, made.get(row.id), now) for row in rows]
        return page_of(views, limit, lambda view: view.name)

    async def count_by_state(self, actor: Actor) -> Counter[GatewayState]:
        require(actor, Action.SEE_GATEWAYS)
        async with self._database.read() as session:
            return Counter([state_of(row, status_of(row)) for row in await session.scalars(select(Gateway))])

    async def get(self, actor: Actor, gateway_id: str) -> GatewayView:
        """Raises NotFound."""
        async with self._database.read() as session:
            row = await find(session, gateway_id)
            require(actor, Action.SEE_GATEWAYS, row)
            return await self._view(session, row)

    async def reset(self, actor: Actor, gateway_id: str) -> GatewayView:
        """Back to pending at once; the gateway removes its machines meanwhile. Doing it again changes nothing."""
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.RESET, row)
            not_deleting(row)
            registered(row)
            not_behind(row)
            changed = row.mode != IDLE or agreed_unsaved(row)
            if changed:
                row.generation += 1
                row.incarnation += 1
                row.mode, row.changed_at, row.reset_at = IDLE, now, now
                row.jet_token_hash = row.jet_token_sealed = None
                record(session, now, actor, "gateway-reset", row, incarnation=row.incarnation)
            view = await self._view(session, row)
        if changed:
            self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        return view

    async def delete(self, actor: Actor, gateway_id: str, *, force: bool = False) -> DeletionView:
        """Forgets a gateway that never registered; asks any other to remove its machines first, and then itself.

        `force` does not wait: what stays is in the answer, and the gateway cleans up should it ever come back.
        """
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.DELETE, row)
            not_behind(row)
            gone = row.registered_at is None or force
            remaining = machines_of(status_of(row))
            if row.mode != DELETE or agreed_unsaved(row):
                row.generation += 1
                row.mode, row.changed_at = DELETE, now
                row.jet_token_hash = row.jet_token_sealed = None
                record(session, now, actor, "gateway-delete-asked", row)
            if gone:
                if row.restored_at is not None:
                    # It may come back with more than the backup knew of, and must clean up then too.
                    row.generation, row.incarnation = row.generation + _LEFT_OUT, row.incarnation + _LEFT_OUT
                record(session, now, actor, "gateway-deleted", row, forced=force, remaining=len(remaining))
                await bury(session, row, now, forced=row.registered_at is not None)
        if gone and not self._presence.connected(gateway_id):
            self._presence.forget(gateway_id)
        self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        return DeletionView(deleted=gone, remaining=remaining if gone else [])

    async def _view(self, session: AsyncSession, row: Gateway) -> GatewayView:
        made = await _codes_made_at(session, [row.id])
        return view_of(row, self._presence, made.get(row.id), self._clock.now())


async def find(session: AsyncSession, gateway_id: str, *, to_change: bool = False) -> Gateway:
    """Raises NotFound, also for an id that cannot be one: nothing odd reaches the database.

    `to_change` locks the row on PostgreSQL; SQLite's writers wait for each other anyway.
    """
    row = await session.get(Gateway, gateway_id, with_for_update=to_change) if _ID.fullmatch(gateway_id) else None
    if row is None:
        raise NotFound(
            "There is no such gateway.",
            reason="gateway-unknown",
            remedy=["Look at the list of gateways: it may have been deleted."],
        )
    return row


def registered(row: Gateway) -> str:
    """The key to seal to. Raises Conflict before registration."""
    if row.registered_at is None or row.sealing_key is None:
        raise Conflict(
            f"Gateway {row.name} has not registered yet.",
            reason="not-registered",
            remedy=["Start the installer with the pairing code; come back when the gateway is pending."],
        )
    return row.sealing_key


def not_deleting(row: Gateway) -> None:
    if row.mode == DELETE:
        raise Conflict(
            f"Gateway {row.name} is being deleted.",
            reason="deleting",
            remedy=["Wait until it is gone, or force the deletion if the gateway cannot come back."],
        )


def not_behind(row: Gateway) -> None:
    """Raises Conflict when the gateway has a newer desired state than this console, which was restored."""
    newer = ahead(row, status_of(row))
    if newer is None:
        return
    raise Conflict(
        f"Gateway {row.name} has a newer desired state than this console knows.",
        reason="console-restored",
        evidence=[
            f"the gateway: generation {newer.generation}, incarnation {newer.incarnation}",
            f"this console: generation {row.generation}, incarnation {row.incarnation}",
        ],
        cause="This console's data are those of an earlier time, restored from a backup.",
        remedy=[
            "Compare the gateway's machines and events with the configuration that this console has.",
            f"Then agree, on the gateway's page or by `pcg gateway agree {row.name!r}`, and repeat the change.",
        ],
    )


async def _codes_made_at(session: AsyncSession, gateway_ids: list[str]) -> dict[str, datetime]:
    """When the newest pairing code of each gateway was made."""
    rows = await session.execute(
        select(PairingCode.gateway_id, func.max(PairingCode.created_at).label("made_at"))
        .where(PairingCode.gateway_id.in_(gateway_ids))
        .group_by(PairingCode.gateway_id)
    )
    return {row.gateway_id: row.made_at for row in rows}
