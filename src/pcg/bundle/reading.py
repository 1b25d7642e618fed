"""Reads the logs of a folder, an archive or a file once, and has them judged. Called by `pcg doctor PATH`.

What could not be read is part of the answer; nothing that was there and not understood passes for clear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pcg.bundle.limits import MEBIBYTE, Budget, LimitReached, Limits
from pcg.bundle.manifest import is_document
from pcg.bundle.members import Member, MemberReader, Unread, expected_bytes
from pcg.bundle.text import text_parts
from pcg.diagnosis.log_engine import LogVerdict, judge, log_rules
from pcg.diagnosis.log_files import log_file
from pcg.diagnosis.log_scan import LogScanner
from pcg.errors import InvalidInput

_BLOCK = 4 * MEBIBYTE
"""Of many lines that are alike the scanner looks at a few of each block, so larger blocks are read faster."""


@dataclass(frozen=True)
class LogReading:
    verdict: LogVerdict
    files: int
    lines: int
    bytes: int
    unread: Sequence[tuple[str, str]]
    """file and reason"""
    unread_more: int
    """as many again are not listed"""


def read_logs(
    path: Path,
    now: datetime,
    limits: Limits | None = None,
    document: Callable[[Member], None] = lambda member: None,
) -> LogReading:
    """`document` is handed what the gateway told about itself, which is no log.

    Raises InvalidInput when no log line can be read there.
    """
    budget, unread = Budget(limits or Limits()), Unread()
    rules = log_rules()
    reader = MemberReader(path, budget, unread)
    with LogScanner(rules, now, lambda: budget.spend(0), expected_bytes(path)) as scanner:
        try:
            for member in reader.members():
                if is_document(member.name):
                    document(member)  # it speaks of failures, and is no log
                    continue
                _scan(member, scanner, budget.limits, unread)
        except LimitReached as reached:
            unread.add(path.name, reached.what, incomplete=True)
        except OSError as error:
            raise _unreadable(path, [error.strerror or str(error)]) from error
        try:
            scanner.finish()
        except LimitReached as reached:
            if (path.name, reached.what) not in unread.items:
                unread.add(path.name, reached.what, incomplete=True)
    if not scanner.lines:
        raise _unreadable(
            path, [f"{name}: {reason}" for name, reason in unread.items[:8]] or ["there is no log line in it"]
        )
    verdict = judge(rules, scanner, now, incomplete=unread.incomplete)
    return LogReading(verdict, len(scanner.files), scanner.lines, budget.unpacked, unread.items, unread.more)


def _scan(member: Member, scanner: LogScanner, limits: Limits, unread: Unread) -> None:
    def tell(reason: str) -> None:
        unread.add(member.name, reason)

    file = log_file(member.name, member.modified)
    begun = False
    for parts in text_parts(member.chunks, limits.line_bytes, tell, _BLOCK):
        if not begun:
            scanner.begin(file)
            begun = True
        scanner.feed(*parts)


def _unreadable(path: Path, evidence: list[str]) -> InvalidInput:
    return InvalidInput(
        f"No log could be read from {path}.",
        reason="logs-unreadable",
        field_name="path",
        evidence=evidence,
        remedy=["Give a folder of logs, a text file, or an archive of them (.tgz, .tar, .gz, .xz, .bz2)."],
    )
