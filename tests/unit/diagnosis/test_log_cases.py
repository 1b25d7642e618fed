"""Every case under tests/cases: what must be found is, alone; what must not be is not. And the vocabulary is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_cases import FOLDER, NOW, LogCase, log_cases, read_case, with_table
from pcg.cli.drilling.table import all_drills
from pcg.diagnosis import log_scan
from pcg.diagnosis.describe import scenarios_page
from pcg.diagnosis.engine import all_scenarios
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_lines import parse_line
from pcg.diagnosis.log_prefilter import (
    LiteralPrefilter,
    Prefilter,
    alternatives,
    literals_of,
    patterns_for,
    prefilter_for,
)
from pcg.diagnosis.log_scan import LogScanner

CASES = log_cases()
DOCS = Path(__file__).parents[3] / "docs"
_NETWORK = """name-not-resolved connection-refused connection-timed-out websocket-blocked proxy-unreachable
    proxy-authentication-required proxy-refused proxy-invalid certificate-not-trusted certificate-not-valid-yet
    certificate-expired tls-intercepted"""
VOCABULARY = {
    "jet-crash-loop": "awaiting-configuration token-rejected console-unreachable container-cannot-start",
    "installer-not-registered": f"""endpoint-trailing-slash endpoint-invalid pairing-code-mistyped pairing-code-expired
        pairing-code-used pairing-code-unknown registration-overdue artifact-download-failed {_NETWORK}""",
    "provisioning-stalled": """insufficient-resources address-pool-exhausted time-not-synchronised vendor-fault
        session-lost object-not-found""",
    "address-not-assigned": """dhcp-no-answer dhcp-scope-exhausted static-address-wrong cloud-init-incomplete
        dhcp-not-enabled network-adapter-disconnected guest-agent-missing""",
    "no-route-to-api-server": """network-misconfigured cloud-init-failed firewall-blocked virtual-ip-not-held
        api-server-down""",
    "vm-not-in-console": "registration-never-began guest-properties-not-delivered",
    "clone-permission-denied": "privilege-missing",
    "stuck-after-container-manager": """image-source-unreachable template-folder-permission
        image-transfer-interrupted""",
    "image-deploy-failed": "vcenter-address-has-scheme vcenter-unreachable vcenter-login-failed",
    "gateway-disconnected": f"console-down {_NETWORK}",
    "node-not-joined": "token-expired certificate-mismatch kubelet-not-running",
    "disk-full": "node-disk-full",
    "machine-drifted": "deleted-outside powered-off-outside reconfigured-outside machine-copied",
}
"""every scenario, and each of its causes"""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: LogCase) -> None:
    verdict = read_case(case).verdict
    found = [f"{finding.scenario}/{finding.cause}" for finding in verdict.findings]
    assert found == ([case.expect] if case.expect else [])
    assert [f"{one.scenario}/{one.cause}" for one in verdict.notices if case.notice] == (
        [case.notice] * bool(case.notice)
    )
    for finding in (*verdict.findings, *verdict.notices):
        assert 1 <= len(finding.evidence) <= 8 and finding.remedy and finding.cured
        assert all(item.file in case.files and item.line for item in finding.evidence)


def test_each_scenario_has_enough_cases() -> None:
    fires = Counter(case.folder for case in CASES if f"{case.expect}{case.notice}".startswith(case.folder))
    near = Counter(case.folder for case in CASES if not f"{case.expect}{case.notice}".startswith(case.folder))
    assert {folder.name for folder in FOLDER.iterdir()} - {"clean", "mixed"} == set(VOCABULARY)
    assert all(fires[name] >= 6 and near[name] >= 4 for name in VOCABULARY), (fires, near)


def test_each_cause_has_a_case() -> None:
    seen = {case.expect or case.notice for case in CASES}
    wanted = {f"{name}/{cause.name}" for name, rule in log_rules().items() for cause in rule.causes}
    network = {key for key in wanted if key.startswith("gateway-disconnected/")}
    assert wanted - seen - network == set()


def test_the_vocabulary_is_kept() -> None:
    rules = log_rules()
    assert set(all_scenarios()) == set(rules) == set(VOCABULARY)
    for name, causes in VOCABULARY.items():
        assert sorted(cause.name for cause in rules[name].causes) == sorted(causes.split())


def test_silencing_leads_nowhere_in_a_circle() -> None:
    rules = log_rules()
    known = set(rules) | {f"{name}/{cause.name}" for name, rule in rules.items() for cause in rule.causes}
    silences = {
        f"{name}/{cause.name}": {*cause.silenced_by, *rule.silenced_by}
        for name, rule in rules.items()
        for cause in rule.causes
    }
    assert {one for those in silences.values() for one in those} <= known

    def explained_by(key: str, seen: tuple[str, ...]) -> None:
        assert key not in seen, seen
        for one in silences[key]:
            for other in [name for name in silences if name == one or name.startswith(f"{one}/")]:
                if other.split("/")[0] != key.split("/")[0] or other == one:
                    explained_by(other, (*seen, key))

    for key in silences:
        explained_by(key, ())


def test_every_pattern_has_literals_to_look_for() -> None:
    for rule in log_rules().values():
        for cause in rule.causes:
            for signature in (*cause.signs, *cause.cured_by):
                assert alternatives(signature.pattern)


PREFILTERS = [LiteralPrefilter, prefilter_for]
"""the standard library's, and the one that is used where Hyperscan is"""


@pytest.mark.parametrize("make", PREFILTERS)
def test_the_prefilter_leaves_out_no_line_that_matches(make: Callable[[frozenset[str]], Prefilter]) -> None:
    patterns = {one.pattern: one for rule in log_rules().values() for cause in rule.causes for one in cause.signs}
    lines = {line for case in CASES for text in case.files.values() for line in text.splitlines()}
    checked = 0
    for pattern, signature in patterns.items():
        prefilter = make(frozenset(first.decode() for first, _ in literals_of(pattern)))
        for line in sorted(lines):
            if signature.compiled.search(line):
                raw = line.lower().encode()
                found = list(prefilter.lines(raw))
                assert [place[:2] for place in found] == [(0, len(raw))], (pattern, line)
                within = found[0][2]
                assert any(one in within and all(o in raw for o in others) for one, others in literals_of(pattern))
                checked += 1
    assert checked > 200


def _patterns() -> list[str]:
    return list(dict.fromkeys(use.signature.pattern for use in LogScanner(log_rules(), NOW).uses))


@pytest.mark.skipif(patterns_for(["abc"]) is None, reason="Hyperscan has no package for this machine")
def test_no_pattern_that_matches_a_message_is_left_out_for_its_line() -> None:
    patterns = _patterns()
    narrow = patterns_for(patterns)
    assert narrow is not None
    lines = {line for case in CASES for text in case.files.values() for line in text.splitlines()}
    checked = left_out = 0
    for line in sorted(lines):
        raw = line.encode()
        message = parse_line(raw, 1, log_file("var/log/syslog", 0.0), NOW).message
        may = narrow.may_match(raw)
        if may is None:
            assert not line.isascii()
            continue
        for index, pattern in enumerate(patterns):
            if re.search(pattern, message, re.IGNORECASE | re.ASCII):
                assert index in may, (pattern, line)
                checked += 1
            else:
                left_out += index not in may
    assert checked > 500
    assert left_out > 50 * checked  # or else it would be of no use


@pytest.mark.skipif(patterns_for(["abc"]) is None, reason="Hyperscan has no package for this machine")
@pytest.mark.parametrize(
    ("pattern", "line", "may"),
    [
        (r"\bfoo", "2026-01-02T15:04:05Zfoo", True),  # the message begins within a word of its line
        (r"^foo$", "stamp: foo", True),  # anchors are the message's
        (r"a.{0,2}b", "a\u00e4\u00e4b", True),  # counted in characters
        (r"(?P<one>x)y|(?P<two>x)z", "XZ", True),
        (r"foo(?! bar)", "foo", True),
        (r"foo", "fo", False),
    ],
)
def test_what_a_scan_of_the_whole_line_cannot_tell_may_match(pattern: str, line: str, may: bool) -> None:
    narrow = patterns_for([pattern, "something else"])
    assert narrow is not None
    found = narrow.may_match(line.encode())
    assert (found is None or 0 in found) is may


def test_many_lines_are_judged_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    block = b"".join(text.encode() for case in CASES for text in case.files.values())
    tallies = []
    for many in (1, 10**9):
        monkeypatch.setattr(log_scan, "_MANY", many)
        scanner = LogScanner(log_rules(), NOW)
        scanner.begin(log_file("var/log/syslog", 0.0))
        scanner.feed(1, block)
        tallies.append(scanner.tallies)
    assert tallies[0] == tallies[1]


LITERALS = frozenset(
    {"no route", "no route to host", "denied", "permission denied", "aab", "aba", "bab", "x509", "lease"}
)
PIECES = st.sampled_from([*sorted(LITERALS), "\n", "A", "b", "Denied", " ", "\n\n", "ab\naba", "\u00e4", "PERMISSION "])


@given(pieces=st.lists(PIECES, max_size=40))
def test_every_prefilter_finds_the_same_lines_and_literals(pieces: list[str]) -> None:
    block = "".join(pieces).encode()
    expected = []
    at = 0
    for line in block.split(b"\n"):
        within = {one.encode() for one in LITERALS if one.encode() in line.lower()}
        expected += [(at, at + len(line), within)] if within else []
        at += len(line) + 1
    for make in PREFILTERS:
        assert list(make(LITERALS).lines(block)) == expected


def test_the_pages_are_those_of_the_code() -> None:
    assert (DOCS / "scenarios.md").read_text() == scenarios_page(all_drills()), "run scripts/make-scenarios"
    page = (DOCS / "diagnosis.md").read_text()
    assert with_table(page) == page, "run scripts/make-scenarios"
