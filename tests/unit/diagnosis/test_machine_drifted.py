"""What others did to our machines is a finding of its own for each cause, with who did it as evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.model.drift import Drift, DriftCause
from pcg.model.records import ConditionReport, GatewayStatus
from pcg.model.states import ConditionName, Severity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STATUS = GatewayStatus(generation=1, incarnation=1)


def drift(cause: DriftCause, machine: str = "pcg-a-1-1", **more: object) -> Drift:
    values = {"since": NOW, "seen": "it is so", "who": "Done by alice.", "user": "alice", "event": "VmEvent", "at": NOW}
    return Drift(cause=cause, machine=machine, **(values | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", list(DriftCause))
def test_each_cause_names_machine_account_event_and_time(cause: DriftCause) -> None:
    (finding,) = diagnose(Facts(NOW, STATUS, drifts=[drift(cause)]))
    assert (finding.scenario, finding.cause, finding.severity) == ("machine-drifted", cause, Severity.WARNING)
    assert "pcg-a-1-1" in finding.summary
    seen, who = finding.evidence
    assert (seen.source, seen.text) == ("machine pcg-a-1-1", "it is so")
    assert (who.source, who.text, who.time) == ("VmEvent", "Done by alice.", NOW)
    assert finding.cured and "alice" in finding.remedy[-1]


def test_two_machines_are_one_finding_since_the_first() -> None:
    later = drift(DriftCause.DELETED, "pcg-a-1-2", since=NOW + timedelta(minutes=2))
    (finding,) = diagnose(Facts(NOW, STATUS, drifts=[later, drift(DriftCause.DELETED)]))
    assert finding.since == NOW
    assert "pcg-a-1-1" in finding.summary and "pcg-a-1-2" in finding.summary
    assert len(finding.evidence) == 4


def test_without_a_drift_there_is_none() -> None:
    assert diagnose(Facts(NOW, STATUS)) == []


def test_a_lost_cluster_is_not_said_to_mend_itself() -> None:
    lost = ConditionReport(name=ConditionName.CLUSTER_LOST, reason="machine-deleted-outside", since=NOW)
    status = STATUS.model_copy(update={"conditions": [lost]})
    (finding,) = diagnose(Facts(NOW, status, drifts=[drift(DriftCause.DELETED)]))
    assert "rebuild" in finding.remedy[0]
