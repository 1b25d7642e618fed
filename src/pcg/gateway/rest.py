"""The reconciler's rest between two passes: it ends with news from the console or the cloud, or when time is up."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from pcg.clock import Clock
from pcg.clouds.base import Connection
from pcg.errors import CredentialsRejected
from pcg.gateway.backoff import Backoff
from pcg.gateway.cloud_access import CloudAccess

LOOK_AGAIN_SECONDS = 300.0
"""a pass at least this often, should the cloud's news be lost"""

LISTEN_FROM_SECONDS = 1.0
"""a shorter rest is over before listening to the cloud would pay"""

_PATIENCE = 0.05
"""of the time that a wait has taken, the rest before the next look: late by so much at most, and ever cheaper"""

_MOST_PATIENT_SECONDS = 2.0
"""a person may be waiting"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rest:
    """How long until the next pass; `seconds` None: until there is news. `listen`: the cloud's news count too."""

    seconds: float | None
    listen: bool = True


UNTIL_NEWS = Rest(None)


def in_proportion(seconds: float | None, waited: float) -> Rest:
    """For what nothing tells of but asking: `seconds` at first, and longer the longer it was in vain (`waited`, s)."""
    return Rest(None if seconds is None else max(seconds, min(_PATIENCE * waited, _MOST_PATIENT_SECONDS)))


async def until_due(
    rest: Rest, news: asyncio.Event, access: CloudAccess, gateway_id: str, clock: Clock, tries: Backoff
) -> None:
    """`news` is set when something else is wanted; `tries` spaces out listening to a cloud that does not answer."""
    seconds = LOOK_AGAIN_SECONDS if rest.seconds is None else min(rest.seconds, LOOK_AGAIN_SECONDS)
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(news.wait()),
        asyncio.ensure_future(clock.sleep(seconds)),
    ]
    if rest.listen and access.connection is not None and seconds >= LISTEN_FROM_SECONDS:
        heard = _hear_change(access, access.connection, gateway_id, seconds, clock, tries)
        waits.append(asyncio.ensure_future(heard))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _hear_change(
    access: CloudAccess, connection: Connection, gateway_id: str, seconds: float, clock: Clock, tries: Backoff
) -> None:
    try:
        await connection.wait_for_change(gateway_id, seconds)
        tries.reset()
    except CredentialsRejected:
        # The session was lost and the password has changed: the next pass says so, and does not try it once more.
        await access.reject()
    except Exception as error:  # noqa: BLE001 - whatever it is must not make the next pass come at once
        _log.info("the cloud's news ended: %s: %s", type(error).__name__, error)
        # Not at once again: the next pass meets the same trouble and names it.
        await clock.sleep(tries.next(None))
