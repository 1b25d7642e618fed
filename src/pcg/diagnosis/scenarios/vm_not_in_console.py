"""The machine runs, yet no registration was ever tried, so the console does not know it (seed). An attempt that
failed is `installer-not-registered`. Judged on the machine's own logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts
from pcg.diagnosis.log_context import MILESTONES
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import GUEST, Cause, LogRules, Signature
from pcg.diagnosis.way_causes import way_finding
from pcg.model.records import Evidence, Finding

SCENARIO = "vm-not-in-console"
SILENCED_BY: tuple[str, ...] = ("address-not-assigned", "installer-not-registered")

_REDEPLOY = "Deploy the appliance again with its properties: endpoint, pairing code, CA pin."
_CURES = (*MILESTONES["registered"], *MILESTONES["session-up"])
_CURED = "The machine shows up in the console as a registered gateway."

LOGS = LogRules(
    causes=(
        Cause(
            name="guest-properties-not-delivered",
            summary="The machine was started without its properties: the OVF environment or guest info is empty.",
            tells="the OVF environment has no properties, or cannot be read",
            signs=(
                Signature(
                    r"no '?PropertySection|PropertySection.{0,20}(?:missing|not found|empty|absent)"
                    r"|failed loading ovf file|OVF environment.{0,80}(?:has no|no propert|empty|missing|not found"
                    r"|could not|cannot|invalid|unreadable)"
                    r"|no OVF (?:environment|properties)|ovf-?env(?:\.xml)?.{0,60}(?:not found|missing|empty"
                    r"|no such file|could not|invalid)|guestinfo\.ovfEnv.{0,40}(?:empty|not found|no value|missing"
                    r"|null)"
                    r"|no value found for key.{0,20}ovfEnv|v?app properties.{0,40}(?:missing|empty|not (?:set"
                    r"|found|delivered))|guest (?:info|properties).{0,40}(?:not delivered|empty|missing)"
                    r"|has no properties of this appliance|failed to (?:read|get|query|parse) (?:the )?(?:ovf"
                    r"|guestinfo\.ovf)",
                    kinds=GUEST,
                ),
            ),
            remedy=(
                _REDEPLOY,
                "In vCenter, check that the vApp options and their transport (VMware Tools) are enabled.",
            ),
            cured_by=_CURES,
            cured=_CURED,
            excludes=("registered",),
        ),
        Cause(
            name="registration-never-began",
            summary="The machine runs, but it never began to register with the console.",
            tells="the installer waits or stopped before its first attempt",
            signs=(
                Signature(
                    r"host not registered yet|not registered yet.{0,20}(?:sleep|wait|try)"
                    r"|failed to find Session for client|(?:pairing code|endpoint)\b.{0,30}(?:is missing|not set"
                    r"|is empty|was not given|not provided|not configured|is required|unset)"
                    r"|no (?:pairing code|endpoint)\b.{0,20}(?:was )?(?:given|set|provided|found|configured)?"
                    r"|missing (?:pairing code|endpoint)|waiting for (?:a |the )?(?:pairing code|endpoint"
                    r"|registration to begin)"
                    r"|(?:pcg|installer|stylus|palette)\S*\.service: (?:failed|main process exited"
                    r"|start request repeated|unit not found)|failed to start .{0,30}(?:pcg|gateway installer"
                    r"|private cloud gateway)"
                    r"|(?:pcg|installer)\S*: (?:command )?not found|registration (?:never|not) (?:began|begun"
                    r"|started|attempted)|no registration attempt|failed authentication",
                    kinds=GUEST,
                ),
            ),
            remedy=(
                "Check the endpoint and the pairing code in the machine's properties.",
                "Check that the machine has a network, and that the installer's service runs.",
                _REDEPLOY,
            ),
            cured_by=_CURES,
            cured=_CURED,
            never=("registration-began",),
            excludes=("registered",),
            weak=True,
        ),
    ),
    needs=frozenset({Kind.OUTPUT, Kind.CLOUD_INIT, Kind.SYSLOG, Kind.OTHER}),
    missing="the machine's /var/log/cloud-init-output.log, cloud-init.log or syslog",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    "guest-properties-not-delivered": "Not: the deployment decides it. The console shows the properties to give.",
    "registration-never-began": "Not: `pcg doctor` on the machine tells it.",
}
"""by cause: how it is told before it happens"""

_NEVER_BEGAN = {
    "guest-properties-not-delivered": "guest-properties-not-delivered",
    "endpoint-missing": "registration-never-began",
    "pairing-code-missing": "registration-never-began",
}
"""reason of what ended the installer: name of the cause"""


def examine(facts: Facts) -> Iterator[Finding]:
    way = facts.way
    if way is None or way.registered or way.trouble is None:
        return
    found = way_finding(SCENARIO, LOGS, _NEVER_BEGAN.get(way.trouble.reason, ""), way, way.trouble)
    if found is not None:
        yield found


def probed(facts: Facts) -> Iterator[Finding]:
    """Of a machine that shall be an installer: were its properties delivered, and did it ever try to register?"""
    seen = facts.installer
    if seen is None or not seen.expected or seen.registered or seen.began:
        return
    name = "guest-properties-not-delivered" if seen.properties else "registration-never-began"
    cause = next(cause for cause in LOGS.causes if cause.name == name)
    told = seen.properties or "No attempt to register was ever made from here."
    yield Finding(
        scenario=SCENARIO,
        cause=name,
        severity=cause.severity,
        since=facts.now,
        summary=f"{cause.summary} {told}"[:1024],
        evidence=[Evidence(source="this machine", text=text, time=facts.now) for text in (seen.expected, told)],
        remedy=list(cause.remedy),
        link=f"docs/scenarios.md#{SCENARIO}",
        cured=_CURED,
    )
