"""When the console's CA is followed by the next one, and what happens then (docs/decisions/0012).

    make     a year before the present CA ends, or by `pcg console rotate-ca`: every gateway is told of both
    switch   once every gateway that was seen lately has said that it trusts the next one, a week later at the soonest
             and a month before the end at the latest, or by `rotate-ca --now`

The running console looks once a minute whether files changed, by whomever, and once a day at the rules; the command
writes the same files and the same store. `server.py` calls `Watch.look`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.clock import Clock
from pcg.console import authorities
from pcg.console.audit import record
from pcg.console.authorities import Authorities, open_authorities, pin_of
from pcg.console.certificates import Certificates
from pcg.console.service import Service
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway
from pcg.errors import InvalidInput

MAKE_BEFORE = timedelta(days=365)
OVERLAP = timedelta(days=7)
LATEST_BEFORE = timedelta(days=30)
SEEN_WITHIN = timedelta(days=30)
LOOKED_AT = timedelta(days=1)
_NAMED = 50
"""gateways in an audit entry"""


@dataclass(frozen=True)
class Untold:
    """Gateways that have not said that they trust the next CA, by name."""

    seen_lately: tuple[str, ...]
    """these are waited for"""
    away: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """How the rotation stands; `next_pin` None: none is under way."""

    present_pin: str
    present_ends: datetime
    next_pin: str | None
    untold: Untold
    earliest: datetime | None
    latest: datetime

    def due(self, now: datetime) -> bool:
        """Whether the next CA shall take the present one's place now."""
        if self.earliest is None:
            return False
        return now >= self.latest or (now >= self.earliest and not self.untold.seen_lately)


async def standing(database: Database, data: Path, now: datetime) -> Standing:
    """Raises InvalidInput for a folder without a CA of the console's own, or with damaged files."""
    found = await asyncio.to_thread(_own_authorities, data, now)
    following = found.next
    next_pin = pin_of(following.certificate) if following else None
    async with database.read() as session:
        untold = await _untold(session, next_pin, now) if next_pin else Untold((), ())
    ends = found.present.ends
    return Standing(
        present_pin=pin_of(found.present.certificate),
        present_ends=ends,
        next_pin=next_pin,
        untold=untold,
        earliest=following.made + OVERLAP if following else None,
        latest=ends - LATEST_BEFORE,
    )


async def begin(database: Database, data: Path, now: datetime, machine_user: str = "") -> None:
    """Make the next CA, unless there is one. `machine_user` is who ran the command."""
    found = await asyncio.to_thread(_own_authorities, data, now)
    if found.next is not None:
        return
    async with database.write() as session:
        # The file last: it is what counts, and an entry without it is taken back.
        made = await asyncio.to_thread(authorities.make_next, data, now)
        pin, ends = pin_of(made.certificate), f"{made.ends:%Y-%m-%d}"
        record(session, now, "console", "ca-next-made", pin=pin, ends=ends, machine_user=machine_user)


async def finish(database: Database, data: Path, now: datetime, machine_user: str = "") -> None:
    """Put the next CA in the present one's place; nothing without a next one."""
    stands = await standing(database, data, now)
    if stands.next_pin is None:
        return
    untold = [*stands.untold.seen_lately, *stands.untold.away]
    async with database.write() as session:
        await asyncio.to_thread(authorities.switch, data, stands.next_pin)
        record(
            session,
            now,
            "console",
            "ca-switched",
            pin=stands.next_pin,
            old_pin=stands.present_pin,
            old_ends=f"{stands.present_ends:%Y-%m-%d}",
            untold=untold[:_NAMED],
            untold_count=len(untold),
            machine_user=machine_user,
        )


class Watch:
    """The running console's side. `reopen` reads the files again and renews the server's certificate; `data` is None
    where the operator gives the certificates, who then rotates the CA too."""

    def __init__(
        self, service: Service, reopen: Callable[[], Certificates], data: Path | None, files: list[Path], clock: Clock
    ) -> None:
        self._service = service
        self._reopen = reopen
        self._data = data
        self._files = files
        self._clock = clock
        self._seen: list[tuple[int, int, int] | None] = []
        self._due = clock.monotonic()

    async def look(self) -> None:
        """Raises what the files and the store raise; the next look begins anew."""
        if self._stamps() == self._seen and self._clock.monotonic() < self._due:
            return
        now, due = self._clock.now(), self._clock.monotonic() + LOOKED_AT.total_seconds()
        if self._data is not None:
            await self._advance(self._data, now)
        # Before reading: what changes in between is seen at the next look.
        seen = self._stamps()
        self._service.take_certificates(await asyncio.to_thread(self._reopen))
        self._seen, self._due = seen, due

    async def _advance(self, data: Path, now: datetime) -> None:
        database = self._service.database
        stands = await standing(database, data, now)
        if stands.next_pin is None and now >= stands.present_ends - MAKE_BEFORE:
            await begin(database, data, now)
            stands = await standing(database, data, now)
        if stands.due(now):
            await finish(database, data, now)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._files]


def _own_authorities(data: Path, now: datetime) -> Authorities:
    if not (data / authorities.PRESENT).is_file():
        raise InvalidInput(
            f"{data} holds no CA of the console's own.",
            reason="no-own-ca",
            field_name="data",
            evidence=[f"{authorities.PRESENT} is not there"],
            cause="The console has not been started yet, or serves a certificate that was given with --tls-cert.",
            remedy=["A CA of your own is rotated where it is kept; docs/console.md says what gateways need then."],
        )
    return open_authorities(data, now)


async def _untold(session: AsyncSession, pin: str, now: datetime) -> Untold:
    rows = await session.execute(
        select(Gateway.name, Gateway.status, Gateway.status_at, Gateway.last_seen, Gateway.registered_at)
        .where(Gateway.signing_key.is_not(None))
        .order_by(Gateway.name)
    )
    lately: list[str] = []
    away: list[str] = []
    for name, status, *times in rows:
        if pin not in ((status or {}).get("trusts") or ()):
            seen = max((time for time in times if time is not None), default=None)
            (lately if seen is not None and now - seen <= SEEN_WITHIN else away).append(name)
    return Untold(tuple(lately), tuple(away))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
