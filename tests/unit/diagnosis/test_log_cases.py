"""Every case under tests/cases: what must be found is, alone; what must not be is not. And the vocabulary is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_cases import FOLDER, NOW, LogCase, log_cases, read_case, with_table
from pcg.bundle.text import text_blocks
from pcg.cli.drilling.table import all_drills
from pcg.diagnosis import log_scan
from pcg.diagnosis.describe import scenarios_page
from pcg.diagnosis.engine import all_scenarios
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_hits import Hits
from pcg.diagnosis.log_lines import parse_line
from pcg.diagnosis.log_literals import alternatives
from pcg.diagnosis.log_prefilter import (
    LiteralPrefilter,
    Prefilter,
    line_at,
    lines,
    quick_prefilter,
)
from pcg.diagnosis.log_scan import LogScanner
from pcg.diagnosis.log_searches import SearchProcess
from pcg.diagnosis.log_tallies import COUNTED, KEPT

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


def thorough_prefilter(patterns: tuple[str, ...]) -> Prefilter | None:
    """What the process that searches uses."""
    if find_spec("hyperscan") is None:
        return None
    from pcg.diagnosis.log_hyperscan import HyperscanPatterns

    compiled = HyperscanPatterns.of(patterns)
    return Thorough(HyperscanPatterns.from_bytes(compiled.to_bytes()).search)


@dataclass(frozen=True)
class Thorough:
    search: Callable[[bytes], Hits]

    def hits(self, block: bytes) -> list[tuple[int, int]]:
        found = self.search(block).lines_back(partial(line_at, block))
        return sorted((start, index) for start, _, indexes in found for index in indexes)


PREFILTERS: list[Callable[[tuple[str, ...]], Prefilter | None]] = [
    LiteralPrefilter,
    quick_prefilter,
    thorough_prefilter,
]
"""the standard library's, and those that are used where Hyperscan is"""
PATTERNS = tuple(dict.fromkeys(use.signature.pattern for use in LogScanner(log_rules(), NOW).uses))


def _message(line: str) -> str:
    return parse_line(line.encode(), 1, log_file("var/log/syslog"), NOW).message


@cache
def _matched() -> dict[str, list[int]]:
    """Lines that were logged, or alike, and the patterns that match each: by these every prefilter is judged."""
    compiled = [re.compile(pattern, re.IGNORECASE | re.ASCII) for pattern in PATTERNS]
    logged = sorted({line for case in CASES for text in case.files.values() for line in text.splitlines()})
    # What `re` counts in characters is told from bytes too.
    logged += [line.replace(" ", " \u20ac", at) for at, line in enumerate(logged)]
    logged += [line.replace(". ", ".\u00e4\u00df ").replace("=", "\u00e4=") for line in logged]
    matched = {}
    for line in logged:
        message = _message(line)
        matched[line] = [index for index, pattern in enumerate(compiled) if pattern.search(message)]
    return matched


@pytest.mark.parametrize("make", PREFILTERS)
def test_no_prefilter_leaves_out_a_pattern_that_matches(make: Callable[[tuple[str, ...]], Prefilter | None]) -> None:
    prefilter = make(PATTERNS)
    if prefilter is None:
        pytest.skip("Hyperscan has no package for this machine")
    matched = _matched()
    # Once line by line, once all in one block: neither may change what is found in a line.
    block = "\n".join(matched).encode()
    together = {block[start:end]: patterns for start, end, patterns in lines(block, prefilter.hits(block))}
    checked = 0
    for line, indexes in matched.items():
        raw = line.encode()
        alone = next((patterns for _, _, patterns in lines(raw, prefilter.hits(raw))), set())
        for index in indexes:
            assert index in alone, (PATTERNS[index], line)
            assert index in together[raw], (PATTERNS[index], line)
            checked += 1
    assert checked > 500


@pytest.mark.skipif(thorough_prefilter(("abc",)) is None, reason="Hyperscan has no package for this machine")
@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"^foo$", "Jan  2 15:04:05 host eth0: foo"),  # anchors are the message's
        (r"\bfoo", "2026-01-02T15:04:05Zfoo 2026-01-02T15:04:05Z foo"),
        (r"foo.{0,2}bar", "foo\u00e4\u00e4bar"),  # counted in characters
        (r"(?P<one>foo)y|(?P<one_more>foo)z", "FOOZ"),
        (r"foo(?! bar)", "foo"),
        (r"foo.bar", "foo\u00e4bar"),
        (r"foo[^x]bar|foo\Wbar", "foo\u20acbar"),
        (r"foo[^x]{2}bar", "foo\u20ac\U0001f600bar"),
        (r"(?:foo|a).{0,20}(?:bar|b)(?:c.*)?$", "a \u20acB"),
        (r"foo:.{0,9}\b407\b", "foo:407"),
        (r"foo.{0,9}\b407\b", "x407 foo x407 407"),
        (r"\b407\b|of no interest", "2026-01-02T15:04:05Z 407"),
        (r"(?:ab|cd).{0,9}\b50[03]\b.{0,9}(?:ef|gh)", "ab 503 ef"),
        (r"\d{3,}foo+", "123foo"),
        (r"(?:foo\s+){2}x", "foo foo  x"),
        (r"e(?:th|n)\w+: timed out", "eth\u00e40: Timed out"),
        (r"(?:no|few) (?:free |more )*(?:ip )?addresses", "no more free IP addresses"),
        (r"(?:console|hub).{0,60}\b50[0234]\b", "hub \u20ac503"),
        (r"un-?synchroni[sz]ed(?: yet)?", "UN-synchronized"),
        (r"x[\u00e4\u00f6]b|foo[ab]?\u00e4", "FOO\u00e4"),
    ],
)
def test_what_a_scan_of_the_whole_line_cannot_tell_may_match(pattern: str, line: str) -> None:
    thorough = thorough_prefilter(("something else", pattern))
    assert thorough is not None
    assert [patterns for _, _, patterns in lines(line.encode(), thorough.hits(line.encode()))] == [{1}]


def test_much_is_judged_as_little_is(monkeypatch: pytest.MonkeyPatch, searching: list[SearchProcess]) -> None:
    texts = [text.encode() for case in CASES for text in case.files.values()]
    tallies = []
    for much in (1, 1 << 40):
        monkeypatch.setattr(log_scan, "_MUCH", much)
        scanner = LogScanner(log_rules(), NOW)
        scanner.begin(log_file("var/log/syslog"))
        scanner.feed(b"of no interest\n")
        for text in texts:
            scanner.feed(text)
        scanner.finish()
        tallies.append(scanner.tallies)
    assert tallies[0] == tallies[1]
    assert len(searching) == (find_spec("hyperscan") is not None)


@pytest.mark.usefixtures("searching")
@pytest.mark.parametrize("much", [1, 1 << 40])
@pytest.mark.parametrize(("size", "most"), [(1 << 10, 10_000), (1 << 14, 10_000), (1 << 30, 10_000), (1 << 30, 9)])
def test_of_much_that_is_alike_the_last_lines_count(
    monkeypatch: pytest.MonkeyPatch, much: int, size: int, most: int
) -> None:
    """As if each line had been looked at: blocks of one line each leave nothing out."""
    lines = [line for case in CASES[::9] for text in case.files.values() for line in text.splitlines()] * 12
    data = "\n".join(f"{line}\nof no interest" for line in lines).encode()

    def scanned(blocks: Iterable[bytes]) -> dict[object, tuple[int, list[tuple[int, datetime | None]]]]:
        scanner = LogScanner(log_rules(), NOW)
        scanner.begin(log_file("var/log/syslog"))
        for block in blocks:
            scanner.feed(block)
        scanner.finish()
        assert scanner.lines == 2 * len(lines)
        return {
            key: (tally.count, [(hit.line.number, hit.line.time) for hit in tally.hits])
            for key, tally in scanner.tallies.items()
        }

    monkeypatch.setattr(log_scan, "_MUCH", much)
    monkeypatch.setattr(log_scan, "_MOST_HITS", most)
    monkeypatch.setattr(log_scan, "_SMALL", 1 << 14)
    assert scanned(text_blocks(iter([data[at : at + size] for at in range(0, len(data), size)]), 1 << 16, print)) == (
        scanned(data.splitlines(keepends=True))
    )


def test_no_signature_asks_for_more_than_are_counted() -> None:
    assert max(use.signature.at_least for use in LogScanner(log_rules(), NOW).uses) <= COUNTED - 2 * KEPT


def test_a_line_without_a_time_has_that_of_the_line_before_it() -> None:
    scanner = LogScanner(log_rules(), NOW)
    scanner.begin(log_file("var/log/cloud-init-output.log"))
    scanner.feed(b"2026-02-03 07:00:00,000 - util.py[DEBUG]: of no interest\n  indented\nNo DHCPOFFERS received.\n")
    scanner.finish()
    times = {hit.when for tally in scanner.tallies.values() for hit in tally.hits}
    assert times == {datetime(2026, 2, 3, 7, tzinfo=UTC)}


def test_a_stamp_that_runs_into_a_word_is_none() -> None:
    assert _message("2026-01-02T15:04:05Zfoo") == "2026-01-02T15:04:05Zfoo"
    assert _message("2026-01-02T15:04:05Z foo") == "foo"


def test_a_long_line_is_not_cut_within_a_word() -> None:
    assert _message("x" * 4090 + " refused") == "x" * 4090 + " "


LITERALS = ("no route", "no route to host", "denied", "permission denied", "aab", "aba", "bab", "x509", "lease")
PIECES = st.sampled_from([*LITERALS, "\n", "A", "b", "Denied", " ", "\n\n", "ab\naba", "\u00e4", "PERMISSION "])


@given(pieces=st.lists(PIECES, max_size=40))
def test_every_prefilter_finds_the_same_lines_and_literals(pieces: list[str]) -> None:
    block = "".join(pieces).encode()
    expected = []
    at = 0
    for line in block.split(b"\n"):
        within = {index for index, one in enumerate(LITERALS) if one.encode() in line.lower()}
        expected += [(at, at + len(line), within)] if within else []
        at += len(line) + 1
    for prefilter in _of_literals():
        assert list(lines(block, prefilter.hits(block))) == expected


@cache
def _of_literals() -> list[Prefilter]:
    return [prefilter for make in PREFILTERS if (prefilter := make(LITERALS)) is not None]


def test_the_pages_are_those_of_the_code() -> None:
    assert (DOCS / "scenarios.md").read_text() == scenarios_page(all_drills()), "run scripts/make-scenarios"
    page = (DOCS / "diagnosis.md").read_text()
    assert with_table(page) == page, "run scripts/make-scenarios"
