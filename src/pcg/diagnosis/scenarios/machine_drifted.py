"""A machine of ours is no longer as it was made: deleted, powered off, reconfigured or copied by someone else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts
from pcg.diagnosis.log_context import of_the_gateway
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.model.drift import Drift, DriftCause
from pcg.model.records import Evidence, Finding
from pcg.model.states import ConditionName, Severity, StepName

SCENARIO = "machine-drifted"
CLEAR_WHEN_DONE = StepName.MACHINES
SILENCED_BY: tuple[str, ...] = ()

_SUMMARIES = {
    DriftCause.DELETED: "{machines} was deleted by somebody else.",
    DriftCause.POWERED_OFF: "{machines} was switched off by somebody else.",
    DriftCause.RECONFIGURED: "{machines} has another size than it was made with: somebody else changed it.",
    DriftCause.COPIED: "{machines} is somebody's copy of a machine of this gateway.",
}
_REMEDIES = {
    DriftCause.DELETED: "Nothing: a new machine takes its place.",
    DriftCause.POWERED_OFF: "Nothing: it is switched on again.",
    DriftCause.RECONFIGURED: (
        "Nothing is changed while it runs. At its next start the gateway gives it back the CPUs and memory it was made "
        "with: power it off, one node at a time, and it is started with them."
    ),
    DriftCause.COPIED: "Remove the copy in the cloud's own client when nobody needs it; the gateway never touches it.",
}
_CURED = {
    DriftCause.DELETED: "A new machine runs in its place.",
    DriftCause.POWERED_OFF: "The machine runs and has its address again.",
    DriftCause.RECONFIGURED: "The machine has the size again that it was made with, or is gone.",
    DriftCause.COPIED: "The copy is gone.",
}
_LOST = "This was the cluster's last majority: rebuild the gateway, on its page or by `pcg gateway rebuild NAME`."
_INSTEAD = {
    DriftCause.RECONFIGURED: "For another size change the gateway's configuration: its machines are then replaced.",
}


def examine(facts: Facts) -> Iterator[Finding]:
    """One finding a cause, with every machine that it befell as evidence."""
    for cause in DriftCause:
        drifts = [drift for drift in facts.drifts if drift.cause is cause]
        if drifts:
            yield _finding(facts, cause, drifts)


def _finding(facts: Facts, cause: DriftCause, drifts: list[Drift]) -> Finding:
    lost = any(condition.name is ConditionName.CLUSTER_LOST for condition in facts.status.conditions)
    whom = sorted({drift.user for drift in drifts if drift.user})
    remedy = [_LOST if lost and cause is DriftCause.DELETED else _REMEDIES[cause]]
    remedy += [_INSTEAD[cause]] if cause in _INSTEAD else []
    remedy += [f"Ask {', '.join(whom)} to leave the gateway's machines alone."] if whom else []
    return Finding(
        scenario=SCENARIO,
        cause=cause,
        severity=Severity.WARNING,
        since=min(drift.since for drift in drifts),
        summary=_SUMMARIES[cause].format(machines=", ".join(drift.machine for drift in drifts))[:1024],
        evidence=[one for drift in drifts[:16] for one in _evidence(drift)],
        remedy=remedy,
        link="docs/scenarios.md#machine-drifted",
        cured=_CURED[cause],
    )


def _evidence(drift: Drift) -> Iterator[Evidence]:
    source = f"machine {drift.machine}"[:128]
    yield Evidence(source=source, text=drift.seen, time=drift.since)
    yield Evidence(source=drift.event or source, text=drift.who, time=drift.at)


_OURS = (
    r"\bpcg (?:deleted|removed|powered)|as (?:was )?(?:asked|requested|desired)|clean(?:ing)?-?up"
    r"|\breset\b|scal(?:e|ing) down|\bdeleting gateway|vm template|rolling"
    r"|user(?:name)?\W{1,3}\S*pcg\S*@"
)
_MACHINE = r"(?:vm|virtual machine|machine|node|vspherevm|vspheremachine)"
_CURES = (
    Signature(
        r"machine \S+ (?:was |is )?(?:repaired|replaced|ready|created anew)"
        r"|new machine \S+ (?:is )?(?:ready|joined)|machine is ready again|powered on again"
        r"|VmPoweredOnEvent"
    ),
)


def _cause(name: str, summary: str, pattern: str, tells: str, remedy: str) -> Cause:
    return Cause(
        name=name,
        summary=summary,
        tells=tells,
        signs=(Signature(pattern, unless=_OURS),),
        remedy=(remedy, "Ask who did it: the vendor's event names the account."),
        cured_by=_CURES if name != "machine-copied" else (),
        cured="A new machine has taken its place, or the copy is gone.",
    )


LOGS = LogRules(
    causes=(
        _cause(
            "machine-copied",
            "There is a copy of one of our machines: same marks, other identity. It is never touched.",
            r"machine-copied|instance ?uuid\b.{0,80}(?:does not (?:equal|match|agree)|differs|mismatch"
            r"|is not ours|not equal)|(?:is|looks like) a (?:copy|clone) of (?:our|the gateway's|machine"
            r"|pcg)"
            rf"|(?:same|duplicate) (?:marks?|bios ?uuid|instance ?uuid|smbios)|VmClonedEvent|(?:clone|copy"
            rf"|restore|restored backup) of (?:our )?{_MACHINE} \S+ (?:was |is )?(?:found|seen|detected)"
            rf"|carries our marks?",
            "marks are ours, the instance id is not",
            "Remove the copy, or take its pcg marks away; the gateway leaves it alone.",
        ),
        _cause(
            "deleted-outside",
            "A machine of the gateway was deleted by someone else.",
            rf"{_MACHINE}\b.{{0,100}}(?:deleted|removed|unregistered|destroyed) (?:outside|externally"
            rf"|by (?:someone|another|user|an? )|from (?:the )?(?:inventory|disk|vcenter))|VmRemovedEvent"
            rf"|VmUnregisteredEvent|VmDisconnectedAndRemoved"
            rf"|{_MACHINE}\b.{{0,80}}(?:no longer exists|disappeared|is gone|vanished|has gone"
            rf"|not found (?:any more|anymore|by (?:instance|bios) ?uuid))"
            rf"|has already been deleted or has not been completely created|(?:unable to find"
            rf"|could not find|cannot find) (?:the )?(?:vm|virtual machine) by (?:bios|instance)? ?uuid",
            "the vendor's inventory has no such machine any more",
            "Nothing: it is repaired by a new machine. A lost one-node cluster needs Rebuild.",
        ),
        _cause(
            "powered-off-outside",
            "A machine of the gateway was powered off by someone else.",
            rf"VmPoweredOffEvent|VmGuestShutdownEvent|VmSuspendedEvent|{_MACHINE}\b.{{0,100}}(?:powered off"
            rf"|shut ?down|suspended|switched off) (?:outside|externally|unexpectedly|by (?:someone|another"
            rf"|user|an? ))"
            rf"|(?:unexpectedly|found) (?:powered off|poweredoff|suspended)"
            rf"|power ?state\b.{{0,40}}powered_?off\b.{{0,60}}(?:expected|want(?:ed)?|desired|should)"
            rf"|(?:expected|want(?:ed)?|desired)\b.{{0,30}}powered_?on\b.{{0,60}}powered_?off",
            "observed power state against the desired one",
            "Nothing: it is started again. Ask that the gateway's machines be left running.",
        ),
        _cause(
            "reconfigured-outside",
            "A machine of the gateway was reconfigured by someone else.",
            rf"VmReconfiguredEvent|{_MACHINE}\b.{{0,100}}reconfigured (?:outside|externally|by (?:someone"
            rf"|another|user|an? ))|(?:configuration|config|hardware|cpu|memory|network adapter|nic"
            rf"|disk)\b.{{0,60}}(?:drift(?:ed)?|differs from (?:the )?(?:desired|wanted|expected)"
            rf"|changed outside)"
            rf"|drift detected|{_MACHINE}\b.{{0,60}}(?:has drifted|drifted from)",
            "observed hardware against the desired one",
            (
                "Nothing: at its next start it gets back the CPUs and memory it was made with. Change the size in the "
                "gateway's configuration instead."
            ),
        ),
    ),
    needs=frozenset({Kind.OUTPUT, Kind.CONTAINER, Kind.OTHER}),
    speakers=of_the_gateway,
    missing="the gateway's own log or the vendor's events",
)

KNOWN_BEFORE: Mapping[str, str] = {
    **{cause.name: "Not: others do it." for cause in LOGS.causes},
}
"""by cause: how it is told before it happens"""
