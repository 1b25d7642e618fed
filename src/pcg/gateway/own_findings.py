"""STATE/findings.json: what this machine has found on itself, for whoever asks it on the spot (`pcg doctor`, a drill).

A machine that never reaches its console can tell nobody else. The file is replaced whole at each change, so that it can
be read at any time; what is over stays below `closed`, with its time. Written by the agent, and by `pcg install` for
what ends it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import Field, ValidationError

from pcg.clock import Clock
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts, WayFact
from pcg.errors import PcgError
from pcg.gateway.console_way import SESSION
from pcg.gateway.identity import StateDirectory
from pcg.gateway.requests import problem_of
from pcg.model.records import Finding, GatewayStatus, Record

NAME = "findings.json"
MOST_CLOSED = 32

_log = logging.getLogger(__name__)


class Closed(Record):
    finding: Finding
    at: datetime


class Document(Record):
    findings: list[Finding] = Field(default_factory=list)
    """open now, the gravest first"""
    closed: list[Closed] = Field(default_factory=list)
    """the latest last"""


def read_findings(state: Path) -> Document:
    """Empty where nothing was ever found, and where the file cannot be read."""
    try:
        return Document.model_validate_json((state / NAME).read_text())
    except (OSError, UnicodeDecodeError, ValidationError):
        return Document()


class OwnFindings:
    """Begins with what an earlier process left; only the holder of the state directory may keep one."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self._path = state / NAME
        self._clock = clock
        self._document = read_findings(state)

    @property
    def present(self) -> list[Finding]:
        return self._document.findings

    def keep(self, findings: Sequence[Finding]) -> None:
        """These are open now, and no others."""
        known, now = self._document, self._clock.now()
        if list(findings) == known.findings:
            return
        keys = {finding.key for finding in findings}
        over = [Closed(finding=finding, at=now) for finding in known.findings if finding.key not in keys]
        self._document = Document(findings=list(findings), closed=[*known.closed, *over][-MOST_CLOSED:])
        beside = self._path.with_name(f".{self._path.name}.new")
        try:
            beside.write_text(json.dumps(self._document.model_dump(mode="json"), indent=1))
            beside.replace(self._path)
        except OSError as error:
            # It is a view for people: a full disk must not end the work that it tells of.
            _log.warning("the findings could not be kept in %s: %s", self._path, error)


def keep_failure(state: Path, error: PcgError, clock: Clock) -> None:
    """What ended an installer, or a gateway that was started anew with wrong settings. Nothing is written for a folder
    of another process, or one that cannot be used: then the error on the screen is all there is.
    """
    directory = StateDirectory(state)
    try:
        with directory.locked():
            own, registered = OwnFindings(state, clock), directory.registration() is not None
            way = WayFact(registered, step=SESSION if registered else "", trouble=problem_of(error, clock))
            nothing = GatewayStatus(generation=0, incarnation=0)
            own.keep(diagnose(Facts(clock.now(), nothing, way=way), own.present))
    except PcgError as failure:
        _log.debug("the findings were not kept: %s", failure)
