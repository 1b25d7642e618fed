"""The hub's side of the store: who a gateway is, what is wanted of it, and what it reports.

Every method is one short transaction. A gateway that was deleted is answered from its tombstone: one that is clean is
sent its farewell; one whose deletion was forced while it was away is told to clean up first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.event_rows import event_row, row_bytes, storable
from pcg.console.gateway_state import DELETE, ahead, forget_restore, withheld
from pcg.console.ids import is_id
from pcg.console.presence import Presence
from pcg.console.store.database import Database
from pcg.console.store.models import EventWriter, Gateway, RevokedKey, StoredEvent, Tombstone
from pcg.console.stored_volumes import StoredVolumes
from pcg.console.streams import Streams, Topic
from pcg.console.tombstones import bury, desired_of_tombstone, wanted
from pcg.errors import Conflict, NotFound
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus
from pcg.wire.frames import Report

WRITERS_TOLD = 64
"""`welcome.stored` names the latest writers; older ones have long been acknowledged"""

TERMS_LEFT_OUT = 1000
"""at a take-over after a restore: terms that were given after the backup may still be held"""

MAXIMUM_WRITERS = 1000
"""remembered of one gateway; of those forgotten the events themselves still tell what is stored"""

_LATEST = (EventWriter.last_at.desc(), EventWriter.writer)


@dataclass(frozen=True)
class Peer:
    """What the hub needs to know before it trusts a session."""

    id: str
    name: str
    signing_key: str | None
    revoked_keys: frozenset[str]
    """keys that a newer registration replaced: their holder is told `revoked`"""
    farewell: bool
    """deleted and clean: after its proof it gets its farewell"""


class StatusOutcome(StrEnum):
    STORED = "stored"
    OLDER = "older"
    """a newer one is stored already"""
    FAREWELL = "farewell"
    """the gateway was to be deleted and is clean: it is removed now; send the farewell"""


class Reports:
    def __init__(
        self, database: Database, streams: Streams, presence: Presence, clock: Clock, volumes: StoredVolumes
    ) -> None:
        self._database = database
        self._streams = streams
        self._presence = presence
        self._clock = clock
        self._volumes = volumes
        self.events_stored = 0
        """since this process started; for /metrics"""
        self.console_ca: str | None = None
        """what gateways are told to trust; `Service.take_certificates` sets it"""

    async def peer(self, gateway_id: str) -> Peer | None:
        """None: the console has never known this id."""
        if not is_id(gateway_id):
            return None
        async with self._database.read() as session:
            row = await session.get(Gateway, gateway_id)
            if row is not None:
                revoked = await session.scalars(
                    select(RevokedKey.signing_key).where(RevokedKey.gateway_id == gateway_id)
                )
                return Peer(row.id, row.name, row.signing_key, frozenset(revoked), farewell=False)
            grave = await session.get(Tombstone, gateway_id)
            if grave is None:
                return None
            return Peer(grave.id, grave.name, grave.signing_key, frozenset(), farewell=_at_rest(grave))

    async def take_term(self, gateway_id: str, term: int) -> int:
        """The term that this process of the gateway holds from now on, stored before it is answered.

        0 takes over with the highest ever given plus one. A term above ours is accepted: the console was restored from
        a backup. Raises Conflict (reason `superseded`, `fields["term"]`) for a lower one, NotFound for an unknown id.
        """
        async with self._database.write() as session:
            row = await self._row_or_grave(session, gateway_id)
            if term and term < row.term:
                raise Conflict(
                    "Another process of this gateway has taken over.",
                    reason="superseded",
                    fields={"term": str(row.term)},
                )
            if not term and isinstance(row, Gateway) and row.restored_at is not None:
                row.term += TERMS_LEFT_OUT
            row.term = term or row.term + 1
            return row.term

    async def stored(self, gateway_id: str, asked: Collection[str] = ()) -> dict[str, int]:
        """The last number of each writer, the latest 64 writers and those of `asked`; 0 when nothing is stored.

        Of a deleted gateway nobody is told of: what it sent would not be stored if it came again.
        """
        async with self._database.read() as session:
            rows = await session.execute(
                select(EventWriter.writer, EventWriter.last_number)
                .where(EventWriter.gateway_id == gateway_id)
                .order_by(*_LATEST)
                .limit(WRITERS_TOLD)
            )
            told = {row.writer: row.last_number for row in rows}
            others = set(asked) - told.keys()
            if others and await session.get(Gateway, gateway_id) is not None:
                last, _ = await self._last_numbers(session, gateway_id, others)
                told |= {writer: last.get(writer, 0) for writer in others}
            return told

    async def desired_state(self, gateway_id: str) -> DesiredState | None:
        """None: nothing was ever wanted of it, or what is wanted is withheld, or it is unknown."""
        async with self._database.read() as session:
            row = await session.get(Gateway, gateway_id)
            if row is not None:
                return desired_of(row, self.console_ca)
            grave = await session.get(Tombstone, gateway_id)
            if grave is None or _at_rest(grave):
                return None
            return desired_of_tombstone(grave).model_copy(update={"console_ca": self.console_ca})

    async def store_reports(self, gateway_id: str, reports: list[Report]) -> dict[str, int]:
        """Stores each event once, in order, and answers the last number stored of each writer among them.

        What a deleted gateway still tells is acknowledged and dropped: nobody could read it.
        """
        if not reports:
            return {}
        now = self._clock.now()
        async with self._database.write() as session:
            known = await session.scalar(select(Gateway.id).where(Gateway.id == gateway_id).with_for_update())
            if known is None:
                return {report.writer: report.number for report in reports}
            last, new = await self._last_numbers(session, gateway_id, {report.writer for report in reports})
            rows = []
            for report in reports:
                if report.number > last.get(report.writer, 0):
                    rows.append(event_row(gateway_id, report, now))
                    last[report.writer] = report.number
            if rows:
                await session.execute(insert(StoredEvent), rows)
                await self._remember(session, gateway_id, last, now)
                if new:
                    await self._forget_oldest(session, gateway_id)
        if rows:
            self.events_stored += len(rows)
            self._volumes.added(gateway_id, len(rows), sum(map(row_bytes, rows)))
            self._streams.notify(gateway_id, Topic.EVENTS)
        return last

    async def store_status(self, gateway_id: str, term: int, revision: int, status: GatewayStatus) -> StatusOutcome:
        """The highest (term, revision) wins. A clean gateway that was to be deleted becomes a tombstone."""
        now = self._clock.now()
        async with self._database.write() as session:
            row = await session.get(Gateway, gateway_id, with_for_update=True)
            if row is None:
                return await self._status_of_deleted(session, gateway_id, status, now)
            if (term, revision) <= (row.status_term, row.status_revision):
                return StatusOutcome.OLDER
            row.status_term, row.status_revision, row.status_at = term, revision, now
            row.status = storable(status.model_dump(mode="json"))
            settled = row.restored_at is not None and ahead(row, status) is None
            if settled:
                # It has told what it has, and that is nothing newer than the backup: all is as it was.
                forget_restore(row)
            finished = row.mode == DELETE and not withheld(row) and clean_for(row.generation, status)
            if finished:
                record(session, now, "console", "gateway-deleted", row)
                await bury(session, row, now, forced=False)
        if finished:
            self._presence.forget(gateway_id)
        self._streams.notify(gateway_id, Topic.STATUS, *([Topic.DESIRED] if settled else []))
        return StatusOutcome.FAREWELL if finished else StatusOutcome.STORED

    async def save_last_seen(self, gateway_id: str) -> None:
        """Called when a session ends, and rarely in between."""
        seen = self._presence.last_seen(gateway_id)
        async with self._database.write() as session:
            row = await session.get(Gateway, gateway_id)
            if row is not None and seen is not None:
                row.last_seen = seen

    async def _status_of_deleted(
        self, session: AsyncSession, gateway_id: str, status: GatewayStatus, now: datetime
    ) -> StatusOutcome:
        grave = await session.get(Tombstone, gateway_id)
        if grave is None or _at_rest(grave):
            return StatusOutcome.FAREWELL
        if not clean_for(grave.generation, status):
            return StatusOutcome.STORED
        grave.clean_at = now
        grave.configuration = grave.credentials_ciphertext = grave.credentials_version = None
        return StatusOutcome.FAREWELL

    async def _row_or_grave(self, session: AsyncSession, gateway_id: str) -> Gateway | Tombstone:
        row = await session.get(Gateway, gateway_id, with_for_update=True)
        if row is not None:
            return row
        grave = await session.get(Tombstone, gateway_id, with_for_update=True)
        if grave is None:
            raise NotFound("This gateway is not known.", reason="unknown-gateway")
        return grave

    async def _last_numbers(
        self, session: AsyncSession, gateway_id: str, writers: set[str]
    ) -> tuple[dict[str, int], set[str]]:
        """What is stored of each writer, and which writers are not remembered."""
        remembered = await session.execute(
            select(EventWriter.writer, EventWriter.last_number).where(
                EventWriter.gateway_id == gateway_id, EventWriter.writer.in_(writers)
            )
        )
        last = {row.writer: row.last_number for row in remembered}
        new = writers - last.keys()
        if new:
            # New, or so old that it was forgotten: then its events may still be there, and must not come twice.
            stored = await session.execute(
                select(StoredEvent.writer, func.max(StoredEvent.number).label("number"))
                .where(StoredEvent.gateway_id == gateway_id, StoredEvent.writer.in_(new))
                .group_by(StoredEvent.writer)
            )
            last |= {row.writer: row.number for row in stored}
        return last, new

    async def _remember(self, session: AsyncSession, gateway_id: str, last: dict[str, int], now: datetime) -> None:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        statement = dialect.insert(EventWriter)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["gateway_id", "writer"],
                set_={"last_number": statement.excluded.last_number, "last_at": statement.excluded.last_at},
            ),
            [
                {"gateway_id": gateway_id, "writer": writer, "last_number": number, "last_at": now}
                for writer, number in last.items()
            ],
        )

    async def _forget_oldest(self, session: AsyncSession, gateway_id: str) -> None:
        mine = EventWriter.gateway_id == gateway_id
        latest = select(EventWriter.writer).where(mine).order_by(*_LATEST).limit(MAXIMUM_WRITERS)
        await session.execute(delete(EventWriter).where(mine, EventWriter.writer.not_in(latest)))


def desired_of(row: Gateway, console_ca: str | None = None) -> DesiredState | None:
    """The whole of what is wanted; the configuration goes along in every mode, because cleaning up needs it too.

    A gateway of which nothing was ever wanted, or from which it is withheld, must still hear of the console's next CA.
    """
    if row.generation == 0 or withheld(row):
        if console_ca is None:
            return None
        return DesiredState(generation=0, incarnation=1, mode="idle", console_ca=console_ca)
    parts = {
        "mode": row.mode,
        "vcenter_typed": row.vcenter_typed,
        "jet_token": row.jet_token_sealed,
        "console_ca": console_ca,
    }
    return DesiredState.model_validate({**parts, **wanted(row)})


def clean_for(generation: int, status: GatewayStatus) -> bool:
    """Clean, with no machine left, and in answer to this very generation: only then may a gateway be removed."""
    return status.clean and not status.machines and status.generation == generation


def _at_rest(grave: Tombstone) -> bool:
    return not grave.forced or grave.clean_at is not None
