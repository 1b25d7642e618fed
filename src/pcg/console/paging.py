"""Pages of lists: `{"items": [...], "next": cursor|null}`; the cursor goes into `after` of the next question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import BaseModel

from pcg.errors import InvalidInput

DEFAULT_LIMIT = 100
MAXIMUM_LIMIT = 1000
MAXIMUM_POSITION = 2**63 - 1

Item = TypeVar("Item", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """`next` is null when nothing more is there now."""

    items: list[Item]
    next: str | None = None


def page_of(found: list[Item], limit: int, cursor: Callable[[Item], str]) -> Page[Item]:
    """`found` holds up to `limit` + 1 items: the one too many only tells that there is more."""
    items = found[:limit]
    return Page(items=items, next=cursor(items[-1]) if len(found) > limit else None)


def position(cursor: str | None) -> int | None:
    """A cursor that is a number. Raises InvalidInput."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and int(cursor[:20]) <= MAXIMUM_POSITION and len(cursor) <= 20):
        raise InvalidInput("The cursor is not one that a list gave.", reason="cursor", field_name="after")
    return int(cursor)
