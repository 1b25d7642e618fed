"""What hinders a machine on its way to the console, by the reason of the error that its own network code made.

The live counterpart of `log_network`: the same causes, told from errors instead of from lines. Called by the scenarios
`installer-not-registered` and `gateway-disconnected`.
"""

from __future__ import annotations

import re

from pcg.diagnosis.facts import WayFact
from pcg.diagnosis.log_rules import LogRules
from pcg.diagnosis.probes.failure_kinds import BY_REASON
from pcg.model.records import Evidence, Finding, Problem

_CAUSES = {
    **BY_REASON,
    **dict.fromkeys(
        ("no-route", "unreachable-connect", "unreachable-http", "session-closed", "console-silent"),
        "connection-timed-out",
    ),
    **dict.fromkeys(("proxy-invalid", "no-proxy-invalid"), "proxy-invalid"),
    # The console's CA, asked for without trust, fits the pin, and yet another's certificate is shown.
    "tls-other-ca": "tls-intercepted",
    **dict.fromkeys(("tls-other-host", "ca-pin-mismatch", "unreachable-tls"), "certificate-not-trusted"),
    # Told by nothing here: what answers may be anything.
    "not-a-console": "",
}
"""reason of an error: name of the cause, which is the kind of failure unless that is finer or coarser"""

_FAULTY_ANSWER = re.compile(r"\bHTTP 50[0234]\b")


def way_cause(trouble: Problem) -> str:
    """The cause's name; empty where the error tells none."""
    if trouble.fields.get("hop") != "proxy" and any(_FAULTY_ANSWER.search(line) for line in trouble.evidence):
        return "console-down"
    return _CAUSES.get(trouble.reason, "")


def way_finding(scenario: str, rules: LogRules, name: str, way: WayFact, problem: Problem) -> Finding | None:
    """In the words of the scenario's cause; None when it has none of that name."""
    cause = next((cause for cause in rules.causes if cause.name == name), None)
    if cause is None:
        return None
    return Finding(
        scenario=scenario,
        cause=name,
        severity=cause.severity,
        since=problem.at,
        summary=f"{cause.summary} {problem.what}"[:1024],
        evidence=[
            Evidence(source=f"installer, {way.step or 'input'}", text=text, time=problem.at)
            for text in (problem.what, *problem.evidence)
        ][:32],
        remedy=[*problem.remedy, *(line for line in cause.remedy if line not in problem.remedy)][:16],
        link=f"docs/scenarios.md#{scenario}",
        cured=cause.cured,
    )
