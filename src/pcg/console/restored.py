"""A console that was restored from an older backup: the mark that `restore.py` leaves, and a person's agreement.

A gateway may have carried out more than this console knows of. Until it has told what it has, nothing is sent to it;
when it has a newer desired state, nothing is changed until a person agrees (the pure rules are in `gateway_state.py`).
Then its generation becomes this console's, whose next change counts; what runs there stays until somebody saves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.auth import Action, Actor, require
from pcg.console.configurations import renew_jet_token
from pcg.console.gateway_state import ahead, forget_restore, status_of
from pcg.console.gateways import find
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway, Setting
from pcg.console.streams import Streams, Topic

_MARK = "restored"


@dataclass(frozen=True)
class RestoreMark:
    """`made_at` is the backup's time, `restored_at` that of the latest restore."""

    made_at: datetime
    restored_at: datetime


async def leave_mark(session: AsyncSession, made_at: str, now: datetime) -> None:
    """In the store that is put in place next. `made_at` is in ISO 8601."""
    value = json.dumps({"made-at": made_at, "restored-at": now.isoformat(timespec="seconds")})
    await session.merge(Setting(key=_MARK, value=value))
    await session.execute(
        update(Gateway).values(
            restored_at=now,
            # Of a gateway that told nothing between two restores, the older of both is all that is sure.
            restored_generation=func.coalesce(Gateway.restored_generation, Gateway.generation),
            restored_incarnation=func.coalesce(Gateway.restored_incarnation, Gateway.incarnation),
        )
    )


class RestoredConsole:
    def __init__(self, database: Database, streams: Streams, clock: Clock) -> None:
        self._database = database
        self._streams = streams
        self._clock = clock
        self._known: RestoreMark | None = None
        self._read = False

    async def mark(self) -> RestoreMark | None:
        """None: this console was never restored. Read once: nobody restores a console that runs."""
        if not self._read:
            async with self._database.read() as session:
                found = await session.get(Setting, _MARK)
            if found is not None:
                value = json.loads(found.value)
                times = (datetime.fromisoformat(value[name]) for name in ("made-at", "restored-at"))
                self._known = RestoreMark(*times)
            self._read = True
        return self._known

    async def agree(self, actor: Actor, gateway_id: str) -> bool:
        """The gateway's generation and incarnation become this console's; nothing is sent before the next change.

        Answers whether anything changed: where the gateway has nothing newer there is nothing to agree to.
        """
        now = self._clock.now()
        async with self._database.write() as session:
            row = await find(session, gateway_id, to_change=True)
            require(actor, Action.AGREE_TO_RESTORE, row)
            newer = ahead(row, status_of(row))
            if newer is None:
                return False
            known = (row.incarnation, row.generation)
            row.incarnation = max(row.incarnation, newer.incarnation)
            row.generation = row.agreed_generation = max(row.generation, newer.generation)
            forget_restore(row)
            if row.incarnation != known[0] and row.jet_token_hash is not None and row.sealing_key is not None:
                # A token is of one incarnation, and that one is gone.
                renew_jet_token(row, row.sealing_key)
            record(
                session,
                now,
                actor,
                "restored-console-agreed",
                row,
                generation=row.generation,
                incarnation=row.incarnation,
                known_generation=known[1],
                known_incarnation=known[0],
            )
        self._streams.notify(gateway_id, Topic.DESIRED, Topic.STATUS)
        return True
