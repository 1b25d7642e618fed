"""Each row that diagnosis knows has a drill, or is listed here or in `not_built_yet.txt`; drills name no other rows."""

from __future__ import annotations

from pathlib import Path

from diagnosis_ids import all_rows
from pcg.cli.drilling.table import all_drills

NOT_BUILT_YET = set((Path(__file__).parent / "not_built_yet.txt").read_text().split())

WITHOUT = {
    "installer-not-registered/artifact-download-failed": "not made yet: needs a console with an artifact mirror",
    "gateway-disconnected/console-down": "not made yet: the edge has no fault that answers 503 in the console's place",
    "gateway-disconnected/proxy-unreachable": "not made yet: the edge's proxy cannot be closed while it runs",
    "gateway-disconnected/name-not-resolved": "the name that was asked before holds for 5 s, and the session is back",
    "gateway-disconnected/proxy-invalid": "a setting, which a gateway that runs has read already",
}


def test_drills_name_rows_that_diagnosis_knows() -> None:
    assert set(all_drills()) <= all_rows()


def test_every_row_has_a_drill_or_a_reason() -> None:
    assert all_rows() - set(all_drills()) == set(WITHOUT) | NOT_BUILT_YET
    assert not set(WITHOUT) & NOT_BUILT_YET
