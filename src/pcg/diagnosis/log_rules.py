"""The words in which a scenario file declares what its failure looks like in logs. Read by the scanner and the judge.

A scenario's `LOGS` names its causes in order of precedence, the signatures that point to each, and what cures it later.
All of it is data and pure predicates; nothing here reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_lines import LogLine
from pcg.diagnosis.log_search import Search
from pcg.model.states import Severity

Where = Callable[[LogLine], bool]

GUEST = frozenset({Kind.CLOUD_INIT, Kind.OUTPUT, Kind.KERNEL, Kind.KUBELET, Kind.SYSLOG, Kind.OTHER})
"""what the machine itself writes"""
ANY = GUEST | {Kind.CONTAINER}


def anywhere(_line: LogLine) -> bool:
    return True


@dataclass(frozen=True)
class Signature:
    """One way in which a kind of failure shows itself in a line."""

    pattern: str
    """searched in the message, case ignored; a group `target` names what it is about"""
    kinds: frozenset[Kind] = ANY
    where: Where = anywhere
    mentions: str = ""
    """a lower-case word that `where` accepts no line without, be it the line's or its file name's: saves asking it"""
    unless: str = ""
    """a line that has this too is about something else"""
    at_least: int = 1
    """fewer such lines are no evidence: a retry or two is normal"""
    weak: bool = False
    """an effect that a stronger sign of another cause explains"""
    never: tuple[str, ...] = ()
    """milestones (log_context) that must stand nowhere"""

    @cached_property
    def search(self) -> Search:
        return Search(self.pattern, re.ASCII)

    @cached_property
    def excluded(self) -> Search | None:
        return Search(self.unless, re.ASCII) if self.unless else None

    def excludes(self, line: LogLine) -> bool:
        return self.excluded is not None and line.search(self.excluded) is not None


@dataclass(frozen=True)
class Cause:
    """Why it failed, what shows it, what to do."""

    name: str
    summary: str
    """one sentence"""
    remedy: tuple[str, ...]
    signs: tuple[Signature, ...]
    tells: str
    """for the docs: what tells it apart"""
    cured_by: tuple[Signature, ...] = ()
    """a later line of these says that it went away (with a target in both: the same one)"""
    cured: str = ""
    """what it looks like when it is over"""
    severity: Severity = Severity.ERROR
    detail: str = ""
    """a second sentence with `{names}` of the patterns' groups; left out where no line has them all"""
    weak: bool = False
    """all its signs are"""
    silenced_by: tuple[str, ...] = ()
    """`scenario` or `scenario/cause` whose finding explains this one"""
    requires: tuple[str, ...] = ()
    """milestones (log_context) that must stand before the evidence"""
    excludes: tuple[str, ...] = ()
    """milestones that must not stand before the evidence"""
    never: tuple[str, ...] = ()
    """milestones that must stand nowhere"""


@dataclass(frozen=True)
class LogRules:
    causes: tuple[Cause, ...]
    needs: frozenset[Kind]
    """with none of these files, nothing found means: cannot tell"""
    missing: str
    """how a person is told what is missing"""
    silenced_by: tuple[str, ...] = ()
    """as in Cause, for all causes"""
    speakers: Where = anywhere
    """whose lines count at all"""
    open_end: Signature | None = None
    """a line after which something must follow; with it as the last word, nothing found means: cannot tell"""
