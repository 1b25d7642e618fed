"""Cases as data: the logs under tests/cases/<scenario>/*.yaml, each with what must be found in them. Used by the tests
of diagnosis and by scripts/make-scenarios, which writes the table of all of them into docs/diagnosis.md.

A case names its files and their text, and `expect`: `scenario/cause`, or nothing for a near miss.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml

from pcg.bundle.reading import LogReading, read_logs

FOLDER = Path(__file__).parent / "cases"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_BEGIN, _END = "<!-- cases: made by scripts/make-scenarios -->\n", "<!-- end of cases -->\n"


@dataclass(frozen=True)
class LogCase:
    folder: str
    """the scenario that it is about"""
    name: str
    files: dict[str, str] = field(hash=False)
    expect: str = ""
    notice: str = ""

    def __str__(self) -> str:
        return f"{self.folder}-{self.name}"


def log_cases() -> list[LogCase]:
    return [
        LogCase(path.parent.name, one["name"], one["files"], one.get("expect", ""), one.get("notice", ""))
        for path in sorted(FOLDER.glob("*/*.yaml"))
        for one in yaml.safe_load(path.read_text())
    ]


def read_case(case: LogCase) -> LogReading:
    """As an archive, as `pcg doctor` gets it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "spectro-logs-2026-2-1.tgz"
        archive.write_bytes(archive_of({name: text.encode() for name, text in case.files.items()}))
        return read_logs(archive, NOW)


def archive_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), int(NOW.timestamp())
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def with_table(page: str) -> str:
    """The page with its table of cases made anew."""
    before, _, rest = page.partition(_BEGIN)
    return before + _BEGIN + "\n".join(_table()) + "\n" + _END + rest.partition(_END)[2]


def _table() -> Iterator[str]:
    """Rows: what the cases are about; columns: what was found."""
    counted: dict[str, Counter[str]] = {}
    for case in log_cases():
        row = counted.setdefault(case.folder + ("" if case.expect or case.notice else " (near misses)"), Counter())
        verdict = read_case(case).verdict
        row.update(finding.scenario for finding in (*verdict.findings, *verdict.notices))
        row["cases"] += 1
        if not verdict.findings and not verdict.notices:
            row["nothing"] += 1
    found = sorted({name for row in counted.values() for name in row} - {"cases", "nothing"})
    columns = ["cases", "nothing", *found]
    yield "| logs about | " + " | ".join(columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for name, row in counted.items():
        yield f"| {name} | " + " | ".join(str(row[column] or "") for column in columns) + " |"
