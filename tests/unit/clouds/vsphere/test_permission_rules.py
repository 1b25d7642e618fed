"""vCenter's rules of inheritance, and what is said of each way in which a privilege comes to be missing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pcg.clouds.vsphere.permissions import Permission, Permissions, Role, Why, same_account

ROLES = {
    1: Role("with", frozenset({"P"})),
    2: Role("without", frozenset({"Q"})),
    -1: Role("Admin", frozenset({"P"}), True),
}
SVC = "svc@vsphere.local"


def known(*permissions: Permission, granted: Mapping[str, frozenset[str]] | None = None) -> Permissions:
    by_object: dict[str, list[Permission]] = {}
    for one in permissions:
        by_object.setdefault(one.on, []).append(one)
    chains = {"folder": ["folder", "vm", "root"]}
    return Permissions((SVC,), ROLES, by_object, chains, {"vm": "/dc/vm"}, granted=granted or {})


def own(on: str, role: int, propagates: bool = True) -> Permission:
    return Permission(on, r"VSPHERE.LOCAL\svc", False, role, propagates)


def group(on: str, role: int, propagates: bool = True) -> Permission:
    return Permission(on, "VSPHERE.LOCAL\\Administrators", True, role, propagates)


STRANGER = Permission("folder", "VSPHERE.LOCAL\\other", False, 1, True)


@pytest.mark.parametrize(
    ("permissions", "possible", "why"),
    [
        ([own("folder", 1)], {True}, None),
        ([own("folder", 1, propagates=False)], {True}, None),
        ([own("root", 1)], {True}, None),
        ([own("root", 1, propagates=False)], {False}, Why.NOT_PROPAGATED),
        ([own("root", 2)], {False}, Why.ROLE),
        ([own("vm", 2), own("root", 1)], {False}, Why.HIDDEN),
        ([own("folder", 2, propagates=False), own("root", 1)], {False}, Why.HIDDEN),
        ([], {False}, Why.NOTHING),
        ([STRANGER], {False}, Why.NOTHING),
        ([group("root", -1)], {True, False}, Why.GROUP),
        ([group("root", 2)], {False}, Why.GROUP),
        ([own("folder", 2), group("folder", -1)], {False}, Why.ROLE),
        ([group("folder", 2), own("root", 1)], {True, False}, Why.GROUP),
    ],
)
def test_what_is_possible_and_why(permissions: list[Permission], possible: set[bool], why: Why | None) -> None:
    judgement = known(*permissions).judge("P", "folder")
    assert judgement.possible == possible
    if why is not None:
        assert judgement.why is why and judgement.text


def test_children_get_only_what_propagates() -> None:
    assert known(own("folder", 1)).judge_children("P", "folder").possible == {True}
    stays = known(own("folder", 1, propagates=False)).judge_children("P", "folder")
    assert (stays.possible, stays.why) == ({False}, Why.NOT_PROPAGATED)


def test_what_vcenter_denies_above_rules_out_the_groups_there() -> None:
    permissions = [own("folder", 1, propagates=False), group("root", -1)]
    assert known(*permissions).judge_children("P", "folder").possible == {True, False}
    denied = known(*permissions, granted={"vm": frozenset()})
    assert denied.judge_children("P", "folder").possible == {False}
    # Not where something stands that does not propagate: what passes on may be more than what counts there.
    hiding = known(*permissions, group("vm", 2, propagates=False), granted={"vm": frozenset()})
    assert hiding.judge_children("P", "folder").possible == {True, False}


def test_an_answer_of_vcenter_is_never_confirmed_by_itself() -> None:
    assert known(granted={"vm": frozenset({"P"}), "folder": frozenset({"P"})}).judge("P", "folder").possible == {False}
    contradicted = known(own("root", 1), granted={"vm": frozenset(), "folder": frozenset()})
    assert contradicted.judge("P", "folder").possible == {True}


def test_permissions_that_cannot_be_read_leave_it_open() -> None:
    open_question = Permissions((SVC,), ROLES, {}, {"folder": ["folder"]}, unreadable=frozenset({"folder"}))
    assert open_question.judge("P", "folder").possible == {True, False}


def test_a_system_role_is_never_to_be_changed() -> None:
    roles = {-2: Role("ReadOnly", frozenset(), True), 5: Role("own", frozenset())}
    for number, changeable in ((-2, False), (5, True)):
        judged = Permissions((SVC,), roles, {"o": [own("o", number)]}, {"o": ["o"]}).judge("P", "o")
        assert (judged.why, judged.changeable) == (Why.ROLE, changeable)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (r"VSPHERE.LOCAL\svc", "svc@vsphere.local", True),
        ("svc", "SVC@vsphere.local", True),
        (r"CORP\svc", "svc@corp.example.com", True),
        (r"CORP\svc", "svc@corporate.example.com", False),
        (r"VSPHERE.LOCAL\svc2", "svc@vsphere.local", False),
    ],
)
def test_spellings_of_an_account(one: str, other: str, same: bool) -> None:
    assert same_account(one, other) is same
