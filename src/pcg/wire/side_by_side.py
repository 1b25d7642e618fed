"""The tasks of one session, side by side until one of them fails. Both ends of the wire run theirs so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def until_one_fails(rank: Callable[[BaseException], int]) -> AsyncIterator[asyncio.TaskGroup]:
    """A group for the body to start its tasks in; the body's end waits for them for ever.

    Raises what ended them. Of several at once that with the lowest `rank`; a cancellation from outside goes first.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            # Within the body, because only then Python 3.11 takes back the cancellation by which the group ends it, and
            # one of ours can be told from it below.
            await asyncio.Event().wait()
    except BaseExceptionGroup as several:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Cancelled while a task of the group failed: Python before 3.13 tells of the failure alone, and whoever
            # tries again after a failure would never end.
            raise asyncio.CancelledError from None
        raise min(_single(several), key=rank) from None


def _single(several: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in several.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error
