"""A machine of ours that is no longer as it was made, and who did it, as far as that can be told.

Noticed by the gateway's `steps.drift`, kept in its memory until it is mended, told by diagnosis as `machine-drifted`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from pcg.model.records import Record


class DriftCause(StrEnum):
    """The causes of the scenario `machine-drifted`."""

    DELETED = "deleted-outside"
    POWERED_OFF = "powered-off-outside"
    RECONFIGURED = "reconfigured-outside"
    COPIED = "machine-copied"


class Drift(Record):
    """`ordinal` is that of the machine which mends it, its own or its successor's; 0 of a copy."""

    cause: DriftCause
    machine: str = Field(max_length=253)
    """its name"""
    id: str = ""
    """the cloud's own id of the changed machine, or of the copy"""
    ordinal: int = 0
    since: datetime
    """when the gateway noticed"""
    seen: str = ""
    """what was observed, for a person"""
    who: str = ""
    """who did it and when, or why that cannot be told"""
    event: str = ""
    """the vendor's name of the event that tells it; empty when none does"""
    user: str = ""
    at: datetime | None = None
    """by the cloud's clock"""
