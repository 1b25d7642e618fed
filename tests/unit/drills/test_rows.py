"""Each row that diagnosis knows has a drill, or stands in `not_built_yet.txt`; drills name no other rows."""

from __future__ import annotations

from pathlib import Path

from diagnosis_ids import all_rows
from pcg.cli.drilling.table import all_drills

NOT_BUILT_YET = set((Path(__file__).parent / "not_built_yet.txt").read_text().split())


def test_drills_name_rows_that_diagnosis_knows() -> None:
    assert set(all_drills()) <= all_rows()


def test_every_row_has_a_drill_or_is_not_built_yet() -> None:
    assert all_rows() - set(all_drills()) == NOT_BUILT_YET
