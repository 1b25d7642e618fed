"""The verb `bundle` (docs/protocol.md): how a log archive crosses the session, piece by piece.

Each piece is a request of the console's own, so that a session which breaks is gone on with at the same place.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pcg.model.records import Problem, Record

CHUNK_BYTES = 192 * 1024
"""of the archive in one answer; 256 KiB as base64, half of what the verb's answer may have"""

MAXIMUM_BUNDLE_BYTES = 64 << 20
"""a gateway packs no more, and a console takes no more"""


class BundleQuestion(Record):
    """`bundle`: the console's name for it, so that a question whose answer was lost can be asked again."""

    action: Literal["begin", "status", "chunk", "end"]
    bundle: str = Field(pattern=r"^[0-9a-f-]{36}$")
    pseudonyms: bool = False
    offset: int = Field(default=0, ge=0, le=MAXIMUM_BUNDLE_BYTES)


class BundleStatus(Record):
    """The answer to `begin`, `status` and `end`. Size and digest are those of a ready one."""

    state: Literal["collecting", "ready", "failed", "ended"]
    items: int = Field(default=0, ge=0, le=1 << 31)
    """files and commands that were begun so far"""
    size: int = Field(default=0, ge=0)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    problem: Problem | None = None


class BundleChunk(Record):
    """The answer to `chunk`: CHUNK_BYTES from `offset` on, or what is left."""

    offset: int = Field(ge=0)
    data: str = Field(max_length=(CHUNK_BYTES + 2) // 3 * 4)
    """base64"""
