"""Links that let somebody in once: kept as a hash with their end, one for each owner. Used by `accounts.py`,
`recovery.py` and `restore.py`, always inside a transaction of theirs.
"""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from pcg.console.auth import token_hash
from pcg.console.store.models import Setting

SETUP = "setup-token-hash"
"""of the first administrator: it has no end, but is good only while there is no user at all"""
RECOVERY = "recovery"
"""owner of the link that makes or restores an administrator; every other owner is a user's id"""
LINK_LIFETIME = timedelta(hours=1)
_PREFIX = "link:"


async def make_link(session: AsyncSession, now: datetime, owner: str) -> str:
    """The token; an older link of the same owner ends."""
    token = secrets.token_urlsafe(32)
    kept = {"hash": token_hash(token), "until": (now + LINK_LIFETIME).isoformat()}
    await session.merge(Setting(key=_PREFIX + owner, value=json.dumps(kept)))
    return token


async def owner_of_link(session: AsyncSession, now: datetime, token: str) -> str | None:
    """None: there is no such link, or its time is over."""
    wanted = token_hash(token)
    for row in await session.scalars(select(Setting).where(Setting.key.startswith(_PREFIX))):
        kept = json.loads(row.value)
        if secrets.compare_digest(kept["hash"], wanted) and now < datetime.fromisoformat(kept["until"]):
            return row.key.removeprefix(_PREFIX)
    return None


async def end_link(session: AsyncSession, owner: str) -> None:
    await session.execute(delete(Setting).where(Setting.key == _PREFIX + owner))


async def end_one_time_links(session: AsyncSession) -> None:
    """All of them, also that of the first set-up."""
    await session.execute(delete(Setting).where(or_(Setting.key == SETUP, Setting.key.startswith(_PREFIX))))
