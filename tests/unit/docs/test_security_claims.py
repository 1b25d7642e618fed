"""docs/security.md names a test for each claim: each of them exists, and nobody's attack is left out of the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
CLAIMS = sorted(set(re.findall(r"`(tests/[a-z0-9_/]+\.py)::([a-z0-9_]+)`", PAGE)))

_NO_CLAIM = {
    "test_a_thousand_upgrades_one_after_the_other",
    "test_a_console_that_wants_heartbeats_without_end_is_not_given_them",
    "test_a_question_that_is_cancelled_twice_and_asked_again",
    "test_known_tricks",
    "test_names_that_are_given_twice_count_once",
    "test_the_same_refusals_by_long_polling",
    "test_a_session_by_long_polling_is_nobodys_without_its_token",
    "test_questions_that_are_given_up_leave_nothing_open",
}
"""particulars of a claim that another test is named for"""


def names_in(path: Path) -> set[str]:
    defined = ast.parse(path.read_text()).body
    functions = (item for item in defined if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
    return {item.name for item in functions if item.name.startswith("test_")}


def test_it_makes_claims() -> None:
    assert len(CLAIMS) > 40
    # Written otherwise, a name would not be looked for.
    assert PAGE.count("::test_") == len(re.findall(r"`tests/[a-z0-9_/]+\.py::[a-z0-9_]+`", PAGE))


@pytest.mark.parametrize("file,name", CLAIMS, ids=[name for _, name in CLAIMS])
def test_each_claim_has_its_test(file: str, name: str) -> None:
    assert (ROOT / file).is_file(), file
    assert name in names_in(ROOT / file)


def test_each_attack_is_in_the_page() -> None:
    named = {name for _, name in CLAIMS} | _NO_CLAIM
    attacks = {name for path in (ROOT / "tests/integration/attack").glob("test_*.py") for name in names_in(path)}
    assert attacks - named == set()
    assert attacks >= _NO_CLAIM
