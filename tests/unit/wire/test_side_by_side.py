"""What ends a session's tasks, when several things end them at once."""

from __future__ import annotations

import asyncio

import pytest

from pcg.wire.side_by_side import until_one_fails


def rank(error: BaseException) -> int:
    return 0 if isinstance(error, ValueError) else 1


async def failing(error: Exception, at: asyncio.Event) -> None:
    await at.wait()
    raise error


async def stubborn(error: Exception) -> None:
    """Fails while it is being cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        raise error


async def test_the_one_with_the_lowest_rank_is_raised_and_the_others_are_over() -> None:
    at = asyncio.Event()
    with pytest.raises(ValueError, match="first"):
        async with until_one_fails(rank) as group:
            tasks = [group.create_task(failing(error, at)) for error in (KeyError("second"), ValueError("first"))]
            at.set()
    assert all(task.done() for task in tasks)


async def test_errors_of_groups_within_are_ranked_too() -> None:
    async def nested() -> None:
        raise ExceptionGroup("within", [KeyError("second"), ExceptionGroup("deeper", [ValueError("first")])])

    with pytest.raises(ValueError, match="first"):
        async with until_one_fails(rank) as group:
            group.create_task(nested())


async def test_a_cancellation_from_outside_goes_before_a_failure_at_the_same_time() -> None:
    running = asyncio.Event()

    async def session() -> None:
        async with until_one_fails(rank) as group:
            group.create_task(stubborn(ValueError("failed while it was cancelled")))
            running.set()

    task = asyncio.create_task(session())
    await running.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_of_the_body_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="body"):
        async with until_one_fails(rank) as group:
            group.create_task(asyncio.Event().wait())
            raise ValueError("body")
