"""One verdict from what was just asked, what the gateway remembers, and what this machine's logs say.

What is so now counts more than what a log says was so: a way that passes has cured what the logs tell of it, and where
both find a scenario, the present cause is told, with the lines that fit it. Called by the gateway's `this_machine`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pcg.diagnosis.engine import all_scenarios, diagnose, ordered
from pcg.diagnosis.facts import Facts
from pcg.diagnosis.hops import all_passed
from pcg.diagnosis.log_engine import Checked, LogVerdict
from pcg.diagnosis.probes.answer import About, Outcome
from pcg.model.records import Finding
from pcg.model.states import Severity

NO_LOGS = LogVerdict([], [], [])


def live_verdict(facts: Facts, logs: LogVerdict = NO_LOGS) -> LogVerdict:
    """Pure. `logs` is the verdict over this machine's own logs, empty where none could be read."""
    live = diagnose(facts)
    now = {finding.scenario for finding in live}
    merged = [_with_lines(finding, [*logs.findings, *logs.notices]) for finding in live]
    for finding in (*logs.findings, *logs.notices):
        if finding.scenario not in now and not _cured(finding.scenario, facts):
            merged.append(finding)
    kept = _without_effects(merged)
    by_logs = {checked.scenario: checked for checked in logs.checked}
    checked = [_checked(name, facts, kept, by_logs.get(name)) for name in all_scenarios()]
    findings = ordered(finding for finding in kept if finding.severity is not Severity.INFO)
    return LogVerdict(findings, ordered(one for one in kept if one.severity is Severity.INFO), checked)


def _with_lines(finding: Finding, told: Sequence[Finding]) -> Finding:
    """With the log lines of the same cause, and since when they tell of it."""
    same = next((one for one in told if one.key == finding.key), None)
    if same is None:
        return finding
    evidence = [*finding.evidence, *same.evidence][:32]
    return finding.model_copy(update={"evidence": evidence, "since": min(finding.since, same.since)})


def _without_effects(findings: Sequence[Finding]) -> list[Finding]:
    open_now = {finding.scenario for finding in findings if finding.severity is not Severity.INFO}
    kept = []
    for finding in findings:
        module = all_scenarios()[finding.scenario]
        logs = getattr(module, "LOGS", None)
        explained = {*module.SILENCED_BY, *(logs.silenced_by if logs else ())} & open_now
        if finding.severity is Severity.INFO or not explained - {finding.scenario}:
            kept.append(finding)
    return kept


def _cured(scenario: str, facts: Facts) -> bool:
    """Whether what is now shows that it is over, or never was."""
    module = all_scenarios()[scenario]
    passed: tuple[About, ...] = getattr(module, "CLEAR_WHEN_PASSED", ())
    if passed and all(all_passed(facts, about) for about in passed):
        return scenario != "installer-not-registered" or bool(facts.installer and facts.installer.registered)
    step = getattr(module, "CLEAR_WHEN_DONE", None)
    return step is not None and facts.done(step)


def _checked(scenario: str, facts: Facts, findings: Sequence[Finding], by_logs: Checked | None) -> Checked:
    if any(finding.scenario == scenario for finding in findings):
        return Checked(scenario, "found")
    if _cured(scenario, facts):
        return Checked(scenario, "clear")
    if facts.installer is None or not (facts.installer.registered or facts.installer.expected):
        return Checked(scenario, "cannot-tell", ("a sign of an installer on this machine",))
    if (by_logs is not None and by_logs.answer == "clear") or _nothing_begun(scenario, facts):
        return Checked(scenario, "clear")
    missing = list(by_logs.missing) if by_logs is not None else ["this machine's logs"]
    probed: Sequence[About] = getattr(all_scenarios()[scenario], "PROBED", ())
    asked = [answer for answer in facts.probes if answer.about in probed and answer.answer is Outcome.UNKNOWN]
    missing += [f"{answer.needs} for the probe {answer.probe}" for answer in asked if answer.needs]
    if by_logs is not None and by_logs.answer == "found":
        missing.append("what the findings above hide: its effects look the same")
    return Checked(scenario, "cannot-tell", tuple(dict.fromkeys(missing)))


def _nothing_begun(scenario: str, facts: Facts) -> bool:
    """A paired gateway of which nothing is wanted yet has nothing that could fail; a registered machine is known to
    its console."""
    if facts.installer is None or not facts.installer.registered:
        return False
    begun = any(step.since is not None for step in facts.status.steps)
    return scenario == "vm-not-in-console" or (
        not begun and getattr(all_scenarios()[scenario], "CLEAR_WHEN_DONE", None) is not None
    )
