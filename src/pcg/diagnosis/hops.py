"""From the answers of probes to findings: which hop failed first on the way to somebody, and which cause that is.

Used by the scenario files, each of which says whom it is about. A hop has failed where nobody who was asked gave a good
answer: one dead name server beside one that answers is no failure. What the console's way shows already (a name server
that is silent for everybody, no route, one proxy) is not told again for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pcg.diagnosis.facts import Facts
from pcg.diagnosis.log_rules import LogRules
from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer
from pcg.model.records import Evidence, Finding

_NAME_KINDS = ("name-unknown", "name-server-silent", "name-server-failed", "name-server-refused")

CAUSES: Mapping[str, str] = {
    **dict.fromkeys((*_NAME_KINDS, "name-server-unreachable", "no-name-server"), "name-not-resolved"),
    "connection-reset": "connection-refused",
    "not-permitted": "connection-refused",
    "http-unavailable": "connection-refused",
    "too-large": "endpoint-invalid",
    "no-route": "connection-timed-out",
    "http-silent": "connection-timed-out",
    "tls-silent": "connection-timed-out",
    "tls-failed": "certificate-not-trusted",
    "certificate-of-another-host": "certificate-not-trusted",
    "not-a-console": "endpoint-invalid",
}
"""kind of failure: the cause in the network scenarios where it is not named so itself"""

_BY_PROBE = {
    "name": "name-not-resolved",
    "proxy": "proxy-unreachable",
    "tls": "certificate-not-trusted",
    "websocket": "websocket-blocked",
}
"""the cause of a kind that the scenario has no words for; at any other hop: connection-refused"""

_SHARED = {
    *("name-server-silent", "name-server-failed", "name-server-refused", "name-server-unreachable", "no-name-server"),
    *("no-route", "connection-timed-out"),
    *("proxy-unreachable", "proxy-authentication-required"),
}
"""kinds that have one reason for everybody who is asked: this machine's own network"""


def failed_hop(facts: Facts, about: About) -> Sequence[ProbeAnswer]:
    """The answers of the first hop that failed, in the order in which they came; empty: none did."""
    hops: dict[str, list[ProbeAnswer]] = {}
    for answer in facts.probes:
        if answer.about is about:
            # Each ESXi host and each address is a way of its own; name servers are ways to one answer.
            key = f"{answer.probe} {answer.target}" if about in (About.HOSTS, About.ADDRESSES) else answer.probe
            hops.setdefault(key, []).append(answer)
    for answers in hops.values():
        if any(answer.failed for answer in answers) and not any(one.answer is Outcome.PASSED for one in answers):
            return answers
    return ()


def explained_by_console(facts: Facts, answers: Sequence[ProbeAnswer]) -> bool:
    """Whether these failed for the same reason as the way to the console."""
    console = {answer.kind for answer in failed_hop(facts, About.CONSOLE) if answer.failed}
    return any(answer.kind in console & _SHARED for answer in answers)


def peer_findings(
    scenario: str, logs: LogRules, facts: Facts, about: About, *, cause: str = "", cured: str = ""
) -> Iterator[Finding]:
    """At most one: the first hop that failed on the way to `about`, as `cause`, or by how it failed."""
    answers = failed_hop(facts, about)
    if not answers or (about is not About.CONSOLE and explained_by_console(facts, answers)):
        return
    failed = [answer for answer in answers if answer.failed]
    name = cause or CAUSES.get(failed[0].kind, failed[0].kind)
    if not any(one.name == name for one in logs.causes):
        name = _BY_PROBE.get(failed[0].probe, "connection-refused")
    yield probe_finding(scenario, logs, name, failed, facts.now, cured=cured)


def probe_finding(
    scenario: str, logs: LogRules, cause: str, answers: Sequence[ProbeAnswer], now: datetime, *, cured: str = ""
) -> Finding:
    """In the words that the scenario has for the cause in logs."""
    known = next(one for one in logs.causes if one.name == cause)
    return Finding(
        scenario=scenario,
        cause=known.name,
        severity=known.severity,
        since=now,
        summary=f"{known.summary} {answers[0].detail}"[:1024],
        evidence=[evidence_of_probe(answer, now) for answer in answers[:32]],
        remedy=list(known.remedy),
        link=f"docs/scenarios.md#{scenario}",
        cured=cured or f"The probe {answers[0].probe} of {answers[0].about} passes.",
    )


def evidence_of_probe(answer: ProbeAnswer, now: datetime) -> Evidence:
    asked = f" (asked: {answer.asked})" if answer.asked else ""
    text = f"{answer.target}{asked}: {answer.answer}, {answer.kind}: {answer.detail}"
    return Evidence(source=f"probe {answer.probe}"[:128], text=text[:4096], time=now)


def all_passed(facts: Facts, about: About) -> bool:
    """The way was asked to its end, and each hop of it let us through."""
    asked = [answer for answer in facts.probes if answer.about is about]
    unknown = any(answer.answer is Outcome.UNKNOWN for answer in asked)
    return bool(asked) and not unknown and not failed_hop(facts, about)
