"""What the gateway's process leaves in its state folder for whoever looks when it is dead: `alive.json`.

Steps and events are in the store; what only the process knows (that it runs, where bootstrap stands, conditions,
findings, why it ended) is written here when it changes, and the file's time says every few seconds that the process
still turns. Written by the agent; read by the installer's own page (`monitor/state_reading.py`), in another process.
Losing it loses nothing: it is not synced to disk, and not read by the gateway itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from pydantic import Field, ValidationError

import pcg
from pcg.clock import Clock
from pcg.errors import PcgError
from pcg.gateway.bootstrap_steps import BootstrapReport
from pcg.gateway.requests import problem_of
from pcg.model.records import GatewayStatus, Problem, Record

FILE = "alive.json"

BEAT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Alive(Record):
    """`process` names this very process (`process_mark`); `ended` is why it ended, if it could still say so."""

    process: str
    started: datetime
    version: str
    endpoint: str
    fingerprint: str = ""
    bootstrap: list[BootstrapReport] = Field(default_factory=list)
    status: GatewayStatus | None = None
    connected: bool | None = None
    """whether there is a session with the console; None: not asked for one yet"""
    stopped: bool = False
    """a person or the service manager ended it"""
    ended: Problem | None = None


class SignsOfLife:
    """`bootstrap`, `status` and `connected` are asked at each beat; the agent sets them as they come to be."""

    def __init__(self, folder: Path, endpoint: str, clock: Clock) -> None:
        self.bootstrap: Callable[[], list[BootstrapReport]] = list
        self.status: Callable[[], GatewayStatus | None] = lambda: None
        self.connected: Callable[[], bool | None] = lambda: None
        self.fingerprint = ""
        self._path = folder / FILE
        self._endpoint = endpoint
        self._clock = clock
        self._started = clock.now()
        self._written = ""
        self._failed = False

    async def beat(self) -> NoReturn:
        while True:
            self._write()
            await self._clock.sleep(BEAT_SECONDS)

    def end(self, error: PcgError | None) -> None:
        """The last words: an error, or None when the process was stopped."""
        problem = None if error is None else problem_of(error, self._clock)
        self._write(stopped=error is None, ended=problem)

    def _write(self, *, stopped: bool = False, ended: Problem | None = None) -> None:
        text = Alive(
            process=process_mark(os.getpid()),
            started=self._started,
            version=pcg.__version__,
            endpoint=self._endpoint,
            fingerprint=self.fingerprint,
            bootstrap=self.bootstrap(),
            status=self.status(),
            connected=self.connected(),
            stopped=stopped,
            ended=ended,
        ).model_dump_json()
        try:
            if text == self._written:
                os.utime(self._path)
                return
            beside = self._path.with_name(f".{FILE}.new")
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(text)
            beside.replace(self._path)
            self._written, self._failed = text, False
        except OSError as error:
            # A full disk has its own error where it matters; this file is only for whoever looks on.
            self._written = ""
            if not self._failed:
                self._failed = True
                _log.warning("%s cannot be written: %s", self._path, error)


def read_alive(folder: Path) -> tuple[Alive, datetime] | None:
    """What was told last, and when the process last turned (UTC). None: nothing was ever told.

    Raises OSError, and ValueError for a file that holds something else.
    """
    path = folder / FILE
    try:
        text, at = path.read_text(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        return Alive.model_validate_json(text), datetime.fromtimestamp(at, UTC)
    except ValidationError as error:
        raise ValueError(f"{error.error_count()} values in it are not as this version writes them") from None


def process_mark(number: int) -> str:
    """`NAMESPACE PID START`: a process as no later one on this machine is called. Empty when there is no such process
    here. START is in clock ticks since boot (proc(5), field 22)."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
        namespace = os.readlink(f"/proc/{number}/ns/pid")  # noqa: PTH115 - not a path
    except OSError:
        return ""
    # The second field is the program's name in parentheses, in which anything may stand.
    state, *rest = status.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else f"{namespace} {number} {rest[18]}"


def in_the_same_namespace(mark: str) -> bool:
    """Whether that process would be seen from here; in another container it would not."""
    return bool(mark) and mark.split(" ")[0] == process_mark(os.getpid()).split(" ")[0]
