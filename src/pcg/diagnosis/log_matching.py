"""What one line of a log speaks for: which signatures of which scenarios, of those whose patterns may match as a
prefilter says. For the scanner (`log_scan`).

A gateway in trouble says the same many thousand times, so what was found out is remembered: for the message as a
whole, and for each set of patterns which signatures have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pcg.diagnosis.log_context import MILESTONES
from pcg.diagnosis.log_files import Kind, LogFile
from pcg.diagnosis.log_lines import LogLine
from pcg.diagnosis.log_rules import LogRules, Signature, Where, anywhere

_MOST_ALIKE = 500
"""messages that are remembered"""
_MOST_SETS = 5000
"""of patterns"""

Role = tuple[str, str, str]
"""what a hit speaks for: (scenario, cause, sign | cure), (scenario, "", open) or ("", milestone, milestone)"""
Matches = list[tuple[int, re.Match[str]]]
"""uses, by their indexes, and where their patterns match in the message; what they captured may be in lower case"""


@dataclass(frozen=True)
class Use:
    role: Role
    signature: Signature
    number: int
    """of the signature within its role"""
    speakers: Where = anywhere


class _Asked:
    """The uses of a set of patterns in one file, in order, each with the word that a line for it must mention."""

    def __init__(self, uses: Sequence[tuple[int, bytes]]) -> None:
        self._uses = uses
        self._words = sorted({word for _, word in uses if word})
        self._those: dict[tuple[bytes, ...], tuple[int, ...]] = {}
        """by the words that a line mentions"""

    def of(self, raw: bytes) -> tuple[int, ...]:
        mentioned: tuple[bytes, ...] = ()
        if self._words:
            low = raw.lower()
            mentioned = tuple([word for word in self._words if word in low])
        if (those := self._those.get(mentioned)) is None:
            those = tuple(index for index, word in self._uses if not word or word in mentioned)
            self._those[mentioned] = those
        return those


class LineMatcher:
    """`begin` a file, then ask for its lines in any order."""

    def __init__(self, rules: Mapping[str, LogRules]) -> None:
        self.uses = list(_uses(rules))
        """every signature, with what its hits speak for"""
        by_pattern: dict[str, list[int]] = {}
        for index, use in enumerate(self.uses):
            by_pattern.setdefault(use.signature.pattern, []).append(index)
        self.patterns = tuple(by_pattern)
        """for the prefilter"""
        self.uses_of = list(by_pattern.values())
        """the uses of each of the patterns"""
        self.targeted = frozenset(
            index for index, use in enumerate(self.uses) if "(?P<target>" in use.signature.pattern
        )
        """the uses whose lines tell what they are about"""
        self._file_name = ""
        self._asked: dict[frozenset[int], _Asked] = {}
        self._of_kind: dict[tuple[tuple[int, ...], Kind], tuple[int, ...]] = {}
        self._alike: dict[tuple[str, str, Kind, tuple[int, ...]], Matches] = {}

    def begin(self, file: LogFile) -> None:
        self._file_name = file.name.lower()
        self._asked, self._of_kind, self._alike = {}, {}, {}

    def speaking(self, raw: bytes, patterns: Iterable[int]) -> tuple[int, ...]:
        """The uses that the line may be for, in order: those whose word it, or its file's name, mentions."""
        key = frozenset(patterns)
        if (asked := self._asked.get(key)) is None:
            if len(self._asked) >= _MOST_SETS:
                self._asked.clear()
            asked = self._asked[key] = self._ask(key)
        return asked.of(raw)

    def _ask(self, patterns: Iterable[int]) -> _Asked:
        uses = sorted(index for pattern in patterns for index in self.uses_of[pattern])
        words = (self.uses[index].signature.mentions for index in uses)
        told = (b"" if word in self._file_name else word.encode() for word in words)
        return _Asked(list(zip(uses, told, strict=True)))

    def matches(self, line: LogLine, uses: tuple[int, ...]) -> Matches:
        """Of those uses, which the line is for. It follows from the message, and what wrote it."""
        key = (line.message, line.program, line.kind, uses)
        if (found := self._alike.get(key)) is None:
            if len(self._alike) >= _MOST_ALIKE:
                self._alike.clear()
            found = self._alike[key] = self._found(line, uses)
            line.forget()
        return found

    def _found(self, line: LogLine, uses: tuple[int, ...]) -> Matches:
        if (of_kind := self._of_kind.get((uses, line.kind))) is None:
            of_kind = tuple(index for index in uses if line.kind in self.uses[index].signature.kinds)
            if len(self._of_kind) >= _MOST_SETS:
                self._of_kind.clear()
            self._of_kind[uses, line.kind] = of_kind
        claimed = set[str]()
        # Several causes have the same pattern, or are cured by the same signature.
        searched: dict[str, re.Match[str] | None] = {}
        excluded: dict[int, bool] = {}
        matches: Matches = []
        for index in of_kind:
            use = self.uses[index]
            signature = use.signature
            scenario, _, what = use.role
            if what == "sign" and scenario in claimed:
                continue  # of a line that an earlier cause of the scenario explains
            # What is asked of the line is answered once, and so comes before what is searched for each signature.
            if not use.speakers(line) or not signature.where(line):
                continue
            if signature.pattern not in searched:
                searched[signature.pattern] = line.search(signature.search)
            if (found := searched[signature.pattern]) is None:
                continue
            if id(signature) not in excluded:
                excluded[id(signature)] = signature.excludes(line)
            if excluded[id(signature)]:
                continue
            if what == "sign":
                claimed.add(scenario)
            matches.append((index, found))
        return matches


def _uses(rules: Mapping[str, LogRules]) -> Iterator[Use]:
    """In order of precedence within each scenario."""
    for scenario, rule in rules.items():
        for cause in rule.causes:
            yield from _of((scenario, cause.name, "sign"), cause.signs, rule.speakers)
            yield from _of((scenario, cause.name, "cure"), cause.cured_by)
        if rule.open_end:
            yield from _of((scenario, "", "open"), (rule.open_end,))
    for name, signatures in MILESTONES.items():
        yield from _of(("", name, "milestone"), signatures)


def _of(role: Role, signatures: Iterable[Signature], speakers: Where = anywhere) -> Iterator[Use]:
    for number, signature in enumerate(signatures):
        yield Use(role, signature, number, speakers)
