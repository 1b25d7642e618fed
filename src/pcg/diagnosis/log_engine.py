"""Judges what the scanner kept: which scenario, which cause, on what evidence; what is clear; what cannot be told.

Pure over hits. The rules are those of the live engine: a cause silences its effects, a trouble that went away later in
the same logs is none, and not knowing is not healthy. Called by `pcg.bundle.reading`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pcg.diagnosis.engine import all_scenarios
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.log_scan import LogScanner
from pcg.diagnosis.log_tallies import Hit, Tally, since
from pcg.model.records import Evidence, Finding
from pcg.model.states import Severity

MOST_EVIDENCE = 8
_MOST_TEXT = 1000
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True)
class Checked:
    scenario: str
    answer: str
    """found, clear or cannot-tell"""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogVerdict:
    findings: Sequence[Finding]
    """most likely cause first"""
    notices: Sequence[Finding]
    checked: Sequence[Checked]


def log_rules() -> dict[str, LogRules]:
    """Of every scenario that can be seen in logs, by id."""
    return {name: module.LOGS for name, module in all_scenarios().items() if hasattr(module, "LOGS")}


def judge(rules: Mapping[str, LogRules], scanner: LogScanner, now: datetime, *, incomplete: bool) -> LogVerdict:
    """`incomplete` says that lines may be missing: then nothing that was not found is clear."""
    hits = _Hits(scanner)
    found = {
        (scenario, cause.name): _finding(scenario, cause, evidence, now)
        for scenario, rule in rules.items()
        for cause, evidence in _open_causes(scenario, rule, hits)
    }
    kept, silenced = _without_effects(rules, found)
    ordered = sorted(kept, key=lambda one: (_ORDER[one.severity], one.since, one.key))
    kinds = {file.kind for file in scanner.files}
    checked = [
        _checked(scenario, rule, ordered, silenced.get(scenario), kinds, hits, incomplete)
        for scenario, rule in rules.items()
    ]
    findings = [finding for finding in ordered if finding.severity is not Severity.INFO]
    notices = [finding for finding in ordered if finding.severity is Severity.INFO]
    return LogVerdict(findings, notices, checked)


class _Hits:
    """The scanner's tallies, by role."""

    def __init__(self, scanner: LogScanner) -> None:
        self._by_role: dict[tuple[str, str, str], list[tuple[int, str, Tally]]] = {}
        for (role, number, _, target), tally in scanner.tallies.items():
            self._by_role.setdefault(role, []).append((number, target, tally))

    def of(self, *role: str) -> list[tuple[int, str, Tally]]:
        return self._by_role.get((role[0], role[1], role[2]), [])

    def milestone(self, name: str) -> list[Hit]:
        return [hit for _, _, tally in self.of("", name, "milestone") for hit in tally.hits]


def _open_causes(scenario: str, rule: LogRules, hits: _Hits) -> Iterator[tuple[Cause, list[Hit]]]:
    """Causes whose evidence stands and was not cured later; weak evidence only where no other stands."""
    strong: list[tuple[Cause, list[Hit]]] = []
    weak: list[tuple[Cause, list[Hit]]] = []
    for cause in rule.causes:
        evidence = {
            signature: _evidence(scenario, cause, number, signature, hits)
            for number, signature in enumerate(cause.signs)
        }
        found = [hit for those in evidence.values() for hit in those]
        if not found or any(hits.milestone(name) for name in cause.never):
            continue
        telling = not cause.weak and any(those for signature, those in evidence.items() if not signature.weak)
        (strong if telling else weak).append((cause, found))
    yield from strong or weak[:1]


def _evidence(scenario: str, cause: Cause, number: int, signature: Signature, hits: _Hits) -> list[Hit]:
    """What one signature found and nothing cured later, if it is enough and of the right phase."""
    if any(hits.milestone(name) for name in signature.never):
        return []
    cures = [(of, hit) for _, of, tally in hits.of(scenario, cause.name, "cure") for hit in tally.hits]
    kept: list[Hit] = []
    count = 0
    for index, target, tally in hits.of(scenario, cause.name, "sign"):
        if index != number:
            continue
        present = [
            hit
            for hit in tally.hits
            if not any(_cures(cure, hit) for of, cure in cures if not of or not target or of == target)
            and _in_phase(hit, cause, hits)
        ]
        kept += present
        count += tally.count - (len(tally.hits) - len(present)) if present else 0
    return kept if count >= signature.at_least else []


def _cures(cure: Hit, hit: Hit) -> bool:
    return cure.line.file.machine == hit.line.file.machine and hit.before(cure)


def _in_phase(hit: Hit, cause: Cause, hits: _Hits) -> bool:
    """Milestones that are required stand before the hit, those excluded do not."""
    return all(any(one.before(hit) for one in hits.milestone(name)) for name in cause.requires) and not any(
        one.before(hit) for name in cause.excludes for one in hits.milestone(name)
    )


def _without_effects(
    rules: Mapping[str, LogRules], found: Mapping[tuple[str, str], Finding]
) -> tuple[list[Finding], dict[str, str]]:
    """Findings that no other finding explains; and by scenario what explained those left out."""
    open_now = {name for key in found for name in (key[0], "/".join(key))}
    kept: list[Finding] = []
    silenced: dict[str, str] = {}
    for (scenario, name), finding in found.items():
        cause = next(cause for cause in rules[scenario].causes if cause.name == name)
        explains = [one for one in (*cause.silenced_by, *rules[scenario].silenced_by) if one in open_now]
        others = [one for one in explains if one.split("/")[0] != scenario or one != f"{scenario}/{name}"]
        if others and finding.severity is not Severity.INFO:
            silenced.setdefault(scenario, others[0])
        else:
            kept.append(finding)
    return kept, silenced


def _checked(
    scenario: str,
    rule: LogRules,
    findings: Sequence[Finding],
    silenced: str | None,
    kinds: set[Kind],
    hits: _Hits,
    incomplete: bool,
) -> Checked:
    if any(finding.scenario == scenario for finding in findings):
        return Checked(scenario, "found")
    missing = []
    if silenced:
        missing.append(f"what {silenced} hides: its effects look the same")
    if not kinds & rule.needs:
        missing.append(rule.missing)
    if rule.open_end and hits.of(scenario, "", "open"):
        last = max((hit for _, _, tally in hits.of(scenario, "", "open") for hit in tally.hits), key=_position)
        if not any(last.before(hit) for hit in hits.milestone("template-done")):
            missing.append(f"what came after line {last.line.number} of {last.line.file.name}: nothing follows it")
    if incomplete:
        missing.append("lines that could not be read")
    return Checked(scenario, "cannot-tell" if missing else "clear", tuple(missing))


def _position(hit: Hit) -> tuple[bool, float, int]:
    return (hit.when is not None, hit.when.timestamp() if hit.when else 0.0, hit.line.number)


def _finding(scenario: str, cause: Cause, hits: list[Hit], now: datetime) -> Finding:
    shown = _spread(hits)
    return Finding(
        scenario=scenario,
        cause=cause.name,
        severity=cause.severity,
        since=since(hits, now),
        summary=defused(_summary(cause, hits))[:1024],
        evidence=[
            Evidence(
                source=defused(hit.line.source),
                text=defused(hit.line.message or hit.line.text),
                time=hit.line.time,
                file=defused(hit.line.file.name),
                line=hit.line.number,
            )
            for hit in shown
        ],
        remedy=list(cause.remedy),
        link=f"docs/scenarios.md#{scenario}",
        cured=cause.cured,
    )


def _spread(hits: list[Hit]) -> list[Hit]:
    """A few, each line once, in the order of their times; the first and the last are among them."""
    by_line = {(hit.line.file.name, hit.line.number): hit for hit in hits}
    ordered = sorted(by_line.values(), key=lambda hit: (_position(hit)[:2], hit.line.file.name, hit.line.number))
    half = MOST_EVIDENCE // 2
    return ordered if len(ordered) <= MOST_EVIDENCE else ordered[:half] + ordered[-half:]


def _summary(cause: Cause, hits: list[Hit]) -> str:
    """With what the lines name, where one names all that the detail speaks of."""
    wanted = [name for _, name, _, _ in string.Formatter().parse(cause.detail) if name]
    for hit in reversed(hits):
        if cause.detail and all(name in hit.fields for name in wanted):
            text = cause.detail
            for name in wanted:
                text = text.replace("{" + name + "}", hit.fields[name].strip("\"'\\"))
            return f"{cause.summary} {text}"
    return cause.summary


def defused(text: str) -> str:
    """Nothing that a terminal or page would obey: control and format characters are shown as their codes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[:_MOST_TEXT])
