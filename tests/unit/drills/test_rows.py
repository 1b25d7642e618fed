"""Each row that diagnosis knows has a drill, and drills name no other rows."""

from __future__ import annotations

from diagnosis_ids import all_rows
from pcg.cli.drilling.table import all_drills


def test_every_row_has_a_drill_and_no_drill_is_of_another() -> None:
    assert set(all_drills()) == all_rows()
