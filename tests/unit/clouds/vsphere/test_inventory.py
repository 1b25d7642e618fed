"""Choosing by name or path."""

from __future__ import annotations

import pytest

from pcg.clouds.vsphere.inventory import Candidate, choose
from pcg.errors import InvalidInput, NotFound

FOLDERS = [Candidate(path, path, {}) for path in ("pcg", "team-a", "team-a/pcg-a", "team-a/x", "team-b/x")]


@pytest.mark.parametrize(
    ("wanted", "path"),
    [("pcg", "pcg"), ("/pcg/", "pcg"), ("pcg-a", "team-a/pcg-a"), ("team-b/x", "team-b/x"), ("team-a", "team-a")],
)
def test_a_name_or_a_path_finds_the_one_it_stands_for(wanted: str, path: str) -> None:
    assert choose("folder", "placement.folder", wanted, FOLDERS).path == path


def test_an_exact_path_wins_over_the_same_name_deeper_down() -> None:
    pools = [Candidate(path, path, {}) for path in ("Resources", "Resources/Resources")]
    assert choose("resource pool", "placement.resourcePool", "Resources", pools).path == "Resources"


def test_an_ambiguous_name_lists_its_paths() -> None:
    with pytest.raises(InvalidInput) as refused:
        choose("folder", "placement.folder", "x", FOLDERS)
    assert refused.value.evidence == ["team-a/x", "team-b/x"]
    assert refused.value.field_name == "placement.folder"


def test_an_absent_name_lists_near_matches() -> None:
    with pytest.raises(NotFound) as refused:
        choose("folder", "placement.folder", "pgc-a", FOLDERS)
    assert refused.value.fields["near"].split(", ")[0] == "pcg-a"
    assert refused.value.reason == "folder-not-found"
