"""The account may not clone: which privilege, on which object, for which account (seed)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, finding_of
from pcg.diagnosis.log_context import of_the_gateway
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.missing_privileges import is_for_import, privilege_remedy, privilege_summary
from pcg.model.records import Finding
from pcg.model.states import StepName

SCENARIO = "clone-permission-denied"
CLEAR_WHEN_DONE = StepName.MACHINES
SILENCED_BY: tuple[str, ...] = ()


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.PREFLIGHT, StepName.MACHINES):
        if not problem.fields.get("privilege") or is_for_import(problem.fields):
            continue
        yield finding_of(
            SCENARIO,
            "privilege-missing",
            step,
            problem,
            summary=privilege_summary(problem.fields),
            remedy=[privilege_remedy(problem.fields), *problem.remedy],
            cured="The step machines goes on by itself at its next try.",
        )
        return


_OTHERS = (
    r"spectro-templates|template ?folder|folder.{0,40}template|\.ova\b|ImportVApp|ImportSpec"
    r"|\bimport(?:ing)?\b|deploy(?:ing)? (?:ovf|image|template)"
    r"|\bssh|publickey|docker|/var/|/etc/|/run/|\bopen /|mkdir|serviceaccount|system:|\bRBAC\b"
    r"|apparmor|selinux|avc:|sudo|unlink|chmod"
)

LOGS = LogRules(
    causes=(
        Cause(
            name="privilege-missing",
            summary="The account lacks a privilege that cloning machines needs.",
            detail="Missing: {privilege} on {object} for {account}.",
            tells="which privilege, on which object, for which account; whether it propagates",
            signs=(
                Signature(
                    (
                        r"user: ?(?P<account>\S+) does not have privilege: ?(?P<privilege>[\w.]+) on entity type: ?["
                        r"\w ]+ with name: ?(?P<object>[^,;\"]{1,120})"
                    ),
                    unless=_OTHERS,
                ),
                Signature(
                    r"permission to perform this operation was denied"
                    r"|does not have (?:the )?(?:required )?privileges?|propagation is not enabled"
                    r"|vim\.fault\.NoPermission|NoPermission(?:Fault)?\b|privilegeId|(?:lacks?|missing|without"
                    r"|requires?) (?:the )?(?:required )?privileges?\b|insufficient privileges?"
                    r"|privilege \S+ (?:is )?(?:missing|required|not (?:held|granted))"
                    r"|(?:VirtualMachine\.(?:Provisioning|Inventory|Config|Interact)|Resource\.AssignVMToPool"
                    r"|Datastore\.AllocateSpace|Network\.Assign)\S* .{0,60}(?:missing|denied|not granted|required"
                    r"|lack)|(?:clone|cloning)\b.{0,160}(?:permission|access)\b.{0,20}denied|not (?:authorized"
                    r"|permitted|allowed) to (?:perform|clone)\b",
                    unless=_OTHERS,
                ),
            ),
            remedy=(
                "Add the named privilege to the account's role on the named object.",
                "If the role has it: let the permission propagate to children.",
            ),
            cured_by=(
                Signature(
                    (
                        r"successfully cloned|clon(?:ed|ing) .{0,60}(?:succeeded|completed)"
                        r"|clone task .{0,40}(?:succeeded|completed)|step machines\W+(?:is )?done|machines: done"
                        r"|permission (?:was )?granted|VMProvisioned"
                    ),
                    unless=r"False|fail",
                ),
            ),
            cured="The machines are cloned at the next try.",
            silenced_by=("stuck-after-container-manager/template-folder-permission",),
        ),
    ),
    needs=frozenset({Kind.CONTAINER, Kind.OUTPUT, Kind.OTHER}),
    speakers=of_the_gateway,
    missing="the gateway's own log, or the container logs of the cluster's controllers",
)

KNOWN_BEFORE: Mapping[str, str] = {
    "privilege-missing": "In preflight: vCenter is asked for every privilege on every object.",
}
"""by cause: how it is told before it happens"""
