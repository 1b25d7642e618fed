"""Choosing by name or path."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from pcg.clouds.vsphere.faults import translate
from pcg.clouds.vsphere.inventory import Candidate, choose, read_one
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


def test_a_property_that_the_account_may_not_read_names_the_privilege() -> None:
    """For example the distributed switch of a port group: vCenter leaves the property out and says why beside it."""
    switch = vim.dvs.VmwareDistributedVirtualSwitch("dvs-1", None)
    hidden = vim.fault.NoPermission(object=switch, privilegeId="System.Read")
    content = vmodl.query.PropertyCollector.ObjectContent(
        obj=switch, missingSet=[vmodl.query.PropertyCollector.MissingProperty(path="uuid", fault=hidden)]
    )
    result = vmodl.query.PropertyCollector.RetrieveResult(objects=[content])
    collector = SimpleNamespace(RetrievePropertiesEx=lambda specs, options: result)
    session: Any = SimpleNamespace(content=SimpleNamespace(propertyCollector=collector))
    with pytest.raises(vim.fault.NoPermission) as refused:
        read_one(session, switch, ["uuid"])
    told = translate(refused.value, account="svc", address="vc", path_of=lambda one: "/dc-1/network/dvs-1")
    assert told.what == "The account svc lacks the privilege System.Read on /dc-1/network/dvs-1."
