"""`python -m pcg.bundle.analysis ARCHIVE RESULT`: what the logs of a bundle show, as `pcg doctor` would tell it,
and what its manifest says is missing; written to RESULT as JSON.

Started by the console for what a gateway sent, in a process of its own with little memory and time: a hostile archive
may end this process, and nothing else.
"""

from __future__ import annotations

import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from pcg.bundle.limits import MEBIBYTE, Limits
from pcg.bundle.manifest import NAME, Manifest
from pcg.bundle.members import Member
from pcg.bundle.reading import read_logs
from pcg.diagnosis.log_engine import defused
from pcg.errors import InvalidInput
from pcg.model.records import Finding

CPU_SECONDS = 120
MEMORY_BYTES = 2048 * MEBIBYTE
"""of address space, which is more than is used"""

_LIMITS = Limits(member_bytes=256 * MEBIBYTE, total_bytes=1024 * MEBIBYTE, members=5000, seconds=100.0)
_MANIFEST_BYTES = 8 * MEBIBYTE
_MOST_MISSING = 200


class Missing(BaseModel):
    """A file or command that is not in, or not whole, and why."""

    name: str = Field(max_length=4096)
    reason: str = Field(max_length=4096)


class Unknown(BaseModel):
    """A scenario that these logs cannot tell, and without what."""

    scenario: str = Field(max_length=64)
    missing: list[str] = Field(max_length=16)


class Analysis(BaseModel):
    """Texts hold nothing that a terminal or page would obey."""

    made_by: str = Field(default="", max_length=512)
    findings: list[Finding] = Field(default_factory=list, max_length=64)
    notices: list[Finding] = Field(default_factory=list, max_length=64)
    unknown: list[Unknown] = Field(default_factory=list, max_length=64)
    files: int = 0
    lines: int = 0
    unreadable: str = Field(default="", max_length=4096)
    """why there is no verdict: no log line could be read"""
    missing: list[Missing] = Field(default_factory=list, max_length=_MOST_MISSING)
    missing_more: int = 0
    """as many again are not listed"""


def main() -> None:
    archive, result = Path(sys.argv[1]), Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.nice(10)
    descriptor = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(analyse(archive, datetime.now(UTC)).model_dump_json())


def analyse(archive: Path, now: datetime) -> Analysis:
    """Raises InvalidInput (`bundle-invalid`) for what is not a bundle: there is no manifest in it."""
    manifests = list[bytes]()

    def keep(member: Member) -> None:
        if member.name == NAME and not manifests:
            manifests.append(_bounded(member))

    told = Analysis()
    try:
        reading = read_logs(archive, now, _LIMITS, keep)
    except InvalidInput as error:
        # Not what it says of the file, whose place on this machine is nobody's business.
        told.unreadable = defused("No known failure can be told: " + "; ".join(error.evidence) + ".")
    else:
        told.findings, told.notices = list(reading.verdict.findings), list(reading.verdict.notices)
        told.unknown = [
            Unknown(scenario=one.scenario, missing=[defused(what) for what in one.missing][:16])
            for one in reading.verdict.checked
            if one.answer == "cannot-tell"
        ]
        told.files, told.lines = reading.files, reading.lines
    manifest = _manifest(manifests)
    told.made_by = defused(manifest.made_by)
    missing = [
        Missing(name=defused(item.name), reason=defused(item.skipped or item.truncated)) for item in manifest.left_out
    ]
    told.missing, told.missing_more = missing[:_MOST_MISSING], len(missing[_MOST_MISSING:]) + manifest.more
    return told


def _bounded(member: Member) -> bytes:
    text = b""
    for chunk in member.chunks:
        text += chunk
        if len(text) > _MANIFEST_BYTES:
            break
    return text


def _manifest(found: list[bytes]) -> Manifest:
    try:
        return Manifest.model_validate_json(found[0] if found else b"")
    except ValidationError:
        raise InvalidInput(
            "This is no log bundle.", "bundle-invalid", ["it has no manifest.json that can be read"]
        ) from None


if __name__ == "__main__":
    main()
