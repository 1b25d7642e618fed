"""An error of our own tree as the record that is stored and sent. Used by both sides."""

from __future__ import annotations

from datetime import datetime

from pcg.errors import PcgError
from pcg.model.records import Problem


def problem_at(error: PcgError, at: datetime) -> Problem:
    """Cut to the bounds of a Problem, so that telling an error can never fail."""
    return Problem(
        reason=error.reason[:64],
        what=error.what[:4096],
        evidence=[item[:2048] for item in error.evidence[:32]],
        cause=error.cause[:4096],
        remedy=[item[:2048] for item in error.remedy[:16]],
        link=error.link[:512],
        fields={name: value[:2048] for name, value in list(error.fields.items())[:64]},
        at=at,
    )
