"""The table of drills tells of each what was found, whatever that was; the one in docs/diagnosis.md has all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from drill_matrix import drills_told, with_matrix
from pcg.cli.drilling.table import all_drills

PAGE = Path(__file__).parents[3] / "docs" / "diagnosis.md"
EMPTY = "before\n<!-- drills: made by scripts/make-drill-matrix -->\nold\n<!-- end of drills -->\nafter\n"


def row(key: str, *, found: bool = True, **more: Any) -> dict[str, Any]:
    scenario, _, cause = key.partition("/")
    marks = dict.fromkeys(("caused", "only", "recovered"), True)
    return {"scenario": scenario, "cause": cause, "found": found, **marks, **more}


def test_what_was_found_beside_it_or_instead_stands_in_the_table() -> None:
    rows = [row("a/one"), row("a/two", only=False, others=["b/x", "a/one"]), row("b/x", found=False, trouble="late")]
    table = with_matrix(EMPTY, rows)
    assert table.startswith("before\n<!-- drills") and table.endswith("<!-- end of drills -->\nafter\n")
    assert "old" not in table
    for line in (
        "| drills of | drills | nothing | a | b |",
        "| a | 2 |  | 2 | 1 |",
        "| b | 1 | 1 |  |  |",
        "Of 3 drills: 3 caused, 2 found, 2 only, 3 recovered.",
        "`a/two`: b/x, a/one.",
        "`b/x`: late.",
    ):
        assert line in table.splitlines()
    assert with_matrix(table, rows) == table
    assert drills_told(table) == {"a": 2, "b": 1}


def test_a_page_without_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match="make-drill-matrix"):
        with_matrix("nothing here", [row("a/one")])


def test_the_page_was_made_of_a_run_of_all_drills() -> None:
    told = drills_told(PAGE.read_text())
    assert told == Counter(key.partition("/")[0] for key in all_drills()), "run scripts/make-drill-matrix"
