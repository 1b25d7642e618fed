"""Log bundles on the console's disk: a folder each below DATA/bundles, with the archive and a small record.

Not in the database: an archive is large and short-lived, and what a restart must know stands beside it. Every change of
a record replaces it whole, so a kill leaves the old or the new one. Used by `bundles.py` and `bundle_transfer.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from pcg.bundle.analysis import Analysis
from pcg.console.ids import is_id
from pcg.model.records import Problem

_log = logging.getLogger(__name__)


class BundleState(StrEnum):
    ASKED = "asked"
    COLLECTING = "collecting"
    RECEIVING = "receiving"
    ANALYSING = "analysing"
    READY = "ready"
    FAILED = "failed"


class BundleRecord(BaseModel):
    id: str
    gateway_id: str
    asked_at: datetime
    asked_by: str
    """the user's e-mail"""
    pseudonyms: bool = False
    state: BundleState = BundleState.ASKED
    changed_at: datetime
    items: int = 0
    """files and commands that the gateway has begun to read"""
    size: int | None = None
    """bytes of the archive, once it is known"""
    received: int = 0
    sha256: str = ""
    problem: Problem | None = None
    """why it failed"""
    analysis: Analysis | None = Field(default=None)

    @property
    def over(self) -> bool:
        return self.state in (BundleState.READY, BundleState.FAILED)


class BundleFolder:
    """DATA/bundles. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[BundleRecord]:
        """Makes the folder (0700). What is no bundle of ours there is removed."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = list[BundleRecord]()
        for folder in self._path.iterdir():
            try:
                record = BundleRecord.model_validate_json((folder / "bundle.json").read_bytes())
                if record.id != folder.name:
                    raise ValueError("a record of another bundle")
            except (OSError, ValidationError, ValueError):
                _log.warning("%s is no bundle that can be used; it is removed", folder)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if not record.over:
                part = self.part(record.id)
                record.received = part.stat().st_size if part.exists() else 0
            found.append(record)
        return found

    def save(self, record: BundleRecord) -> None:
        folder = self._of(record.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        beside = folder / ".bundle.json.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(record.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / "bundle.json")

    def append(self, bundle_id: str, offset: int, data: bytes) -> None:
        descriptor = os.open(self.part(bundle_id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.truncate(descriptor, offset)
            os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def digest(self, bundle_id: str) -> str:
        with self.part(bundle_id).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def finish(self, bundle_id: str) -> None:
        """The archive is one: it gets its name."""
        self.part(bundle_id).replace(self.archive(bundle_id))

    def drop_part(self, bundle_id: str) -> None:
        self.part(bundle_id).unlink(missing_ok=True)

    def remove(self, bundle_id: str) -> None:
        shutil.rmtree(self._of(bundle_id), ignore_errors=True)

    def archive(self, bundle_id: str) -> Path:
        return self._of(bundle_id) / "archive.tgz"

    def part(self, bundle_id: str) -> Path:
        """What has come of the archive, until it was looked at."""
        return self._of(bundle_id) / "archive.part"

    def analysis(self, bundle_id: str) -> Path:
        return self._of(bundle_id) / "analysis.json"

    def _of(self, bundle_id: str) -> Path:
        assert is_id(bundle_id)
        return self._path / bundle_id
