"""What is observed and told: events, steps, machines, conditions, findings, and the gateway's whole status.

Made by the gateway, carried by `wire`, stored by the console, shown by pages and commands. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from pcg.model.states import (
    ConditionName,
    MachineRole,
    MachineState,
    Severity,
    StepName,
    StepState,
)


class Record(BaseModel):
    """Frozen; unknown fields are ignored, so that a newer peer may add some (DESIGN principle 14)."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(Record):
    """An error as it is shown beside its step: what, evidence, cause, remedy, link."""

    reason: str = Field(max_length=64)
    what: str = Field(max_length=4096)
    evidence: list[str] = Field(default_factory=list, max_length=32)
    cause: str = Field(default="", max_length=4096)
    remedy: list[str] = Field(default_factory=list, max_length=16)
    link: str = Field(default="", max_length=512)
    fields: dict[str, str] = Field(default_factory=dict, max_length=64)
    at: datetime


class StepReport(Record):
    """`task` is what the step does or waits for now; `since` is when the step entered its state."""

    name: StepName
    state: StepState = StepState.WAITING
    since: datetime | None = None
    task: str = Field(default="", max_length=512)
    last_error: Problem | None = None
    next_try: datetime | None = None
    seconds: float | None = None
    """how long the step took from its first run to done"""


class MachineReport(Record):
    name: str = Field(max_length=253)
    role: MachineRole
    state: MachineState
    address: str | None = Field(default=None, max_length=64)
    instance: str = Field(max_length=64)
    """the mark `pcg.instance`, a UUID"""
    incarnation: int
    since: datetime | None = None


class ConditionReport(Record):
    name: ConditionName
    reason: str = Field(max_length=64)
    message: str = Field(default="", max_length=4096)
    since: datetime


class Evidence(Record):
    """An observed fact: where it was seen and when."""

    source: str = Field(max_length=128)
    """for example `step template`, `event`, `machine x`, or a log's name"""
    text: str = Field(max_length=4096)
    time: datetime | None = None
    file: str | None = None
    line: int | None = None


class Finding(Record):
    """A known failure, named. With severity info it is a notice: expected, worth telling."""

    scenario: str = Field(max_length=64)
    cause: str = Field(max_length=64)
    severity: Severity
    since: datetime
    summary: str = Field(max_length=1024)
    evidence: list[Evidence] = Field(default_factory=list, max_length=32)
    remedy: list[str] = Field(default_factory=list, max_length=16)
    link: str = Field(default="", max_length=512)
    cured: str = Field(default="", max_length=1024)
    """what it looks like when it is over"""
    step: StepName | None = None
    """beside which it is shown"""
    closed: datetime | None = None
    """when its cause had gone; None while it is open"""

    @property
    def key(self) -> tuple[str, str]:
        return (self.scenario, self.cause)


FINDING_OPENED = "FindingOpened"
FINDING_CLOSED = "FindingClosed"
"""reasons of the events that bear a finding"""


class Event(Record):
    """One immutable line. `at` is the gateway's time; order is given by number, never by time."""

    at: datetime
    severity: Severity = Severity.INFO
    reason: str = Field(max_length=64, pattern=r"^[A-Za-z0-9-]+$")
    message: str = Field(max_length=4096)
    step: StepName | None = None
    machine: str | None = Field(default=None, max_length=253)
    fields: dict[str, str] = Field(default_factory=dict, max_length=32)
    finding: Finding | None = None
    """the known failure that it tells of, as it was seen last"""


class GatewayStatus(Record):
    """All that a gateway's leader observes now, sent whole; the newest replaces every older one."""

    generation: int
    """the desired state that this answers; 0 before the first"""
    incarnation: int
    steps: list[StepReport] = Field(default_factory=list, max_length=32)
    machines: list[MachineReport] = Field(default_factory=list, max_length=64)
    conditions: list[ConditionReport] = Field(default_factory=list, max_length=32)
    findings: list[Finding] = Field(default_factory=list, max_length=64)
    clean: bool = False
    """no machine of an earlier incarnation is left (and, while deleting, none at all)"""
    trusts: list[str] = Field(default_factory=list, max_length=16)
    """pins of the CAs by which this gateway lets a console prove itself; an older gateway does not tell"""
