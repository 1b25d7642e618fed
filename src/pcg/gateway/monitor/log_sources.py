"""The logs that the installer's own page shows: an allowed list of names, each a file or a unit's journal.

A request names an entry of the list, never a path. The installer's log comes first: anything that is not done is
explained there. Used by `pages.py` and `tasks.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pcg.errors import InvalidInput, NotFound

FILES = (
    ("cloud-init-output", "cloud-init-output.log", "The installer and this machine's set-up (look here first)"),
    ("cloud-init", "cloud-init.log", "This machine's set-up, step by step"),
    ("syslog", "syslog", "The system"),
    ("messages", "messages", "The system"),
    ("kern", "kern.log", "The kernel"),
)
"""name, file below the folder of logs, what it tells"""

JOURNALS = (
    ("journal-installer", "pcg-installer", "The installer, as the service manager saw it"),
    ("journal-kubelet", "kubelet", "kubelet"),
    ("journal-containerd", "containerd", "The container manager"),
)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class LogSource:
    """Either a `path` or a `unit`."""

    name: str
    what: str
    path: Path | None = None
    unit: str = ""

    def open(self) -> BinaryIO:
        """Raises OSError; for what is not a regular file, too (a pipe would be waited for)."""
        assert self.path is not None
        file = os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(f"{self.path} is not a regular file")
        return file

    def journal(self, *more: str) -> list[str]:
        return ["journalctl", "--unit", self.unit, "--no-pager", "--quiet", "--output", "short-iso", *more]


@dataclass(frozen=True)
class Listed:
    """A source as it is now; `trouble` says why it cannot be read."""

    source: LogSource
    size: int | None = None
    changed: datetime | None = None
    trouble: str = ""


class LogSources:
    def __init__(self, folder: Path, more: Iterable[LogSource] = ()) -> None:
        self.folder = folder
        given = {source.name: source for source in more}
        files = [LogSource(name, what, path=folder / file) for name, file, what in FILES]
        journals = [LogSource(name, what, unit=unit) for name, unit, what in JOURNALS]
        self._sources = given | {item.name: item for item in (*files, *journals) if item.name not in given}
        self._given = set(given)

    def find(self, name: str) -> LogSource:
        """Raises NotFound."""
        source = self._sources.get(name)
        if source is None:
            raise NotFound(
                "There is no such log.", reason="no-such-log", evidence=[f"there is: {item}" for item in self._sources]
            )
        return source

    def listed(self) -> list[Listed]:
        """What is there; and what was given when the page was started, whether it is there or not."""
        return [listed for source in self._sources.values() if (listed := self._look(source)) is not None]

    def _look(self, source: LogSource) -> Listed | None:
        if source.path is None:
            return Listed(source) if shutil.which("journalctl") and _has_unit(source.unit) else None
        try:
            state = source.path.stat()
            with source.open():
                pass
        except FileNotFoundError:
            return Listed(source, trouble="it is not there (yet)") if source.name in self._given else None
        except OSError as error:
            return Listed(source, trouble=error.strerror or str(error))
        return Listed(source, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))


def _has_unit(unit: str) -> bool:
    folders = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system")
    return any(Path(folder, f"{unit}.service").exists() for folder in folders)


def parse_source(typed: str) -> LogSource:
    """NAME=PATH. Raises InvalidInput."""
    name, found, path = typed.partition("=")
    if not found or not _NAME.fullmatch(name) or not Path(path).is_absolute():
        raise InvalidInput(
            f"{typed!r} is no log.",
            reason="log-invalid",
            field_name="log",
            remedy=["Give NAME=PATH: a name of small letters, digits and hyphens, and an absolute path."],
        )
    return LogSource(name, path, path=Path(path))
