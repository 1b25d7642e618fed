"""Where `pcg install` tells what it does: one line each on stderr, and with its time in a log file where one was given.

On an appliance that file is `/var/log/cloud-init-output.log`, where people look first. What a stranger on the way
answered may stand in a line, so nothing that a terminal would obey gets through.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from logging.handlers import WatchedFileHandler
from pathlib import Path

from pcg.cli.output import plain
from pcg.errors import InvalidInput

_TIMED = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def open_log(file: Path | None) -> Callable[[str], None]:
    """What prints a line. Raises InvalidInput for a file that cannot be written; a rotated one is opened anew."""
    screen = logging.StreamHandler(sys.stderr)
    lines = logging.getLogger("pcg.install")
    lines.setLevel(logging.INFO)
    lines.propagate = False
    lines.addHandler(screen)
    screen.setFormatter(_Plain("%(message)s"))
    others: list[logging.Handler] = [_timed(logging.StreamHandler(sys.stderr))]
    if file is not None:
        try:
            written = _timed(WatchedFileHandler(file, encoding="utf-8"))
        except OSError as error:
            raise InvalidInput(
                f"The log file {file} cannot be written: {error.strerror or error}.",
                reason="log-file",
                field_name="log-file",
                remedy=["Give a file that this user may write, or leave --log-file away."],
            ) from None
        lines.addHandler(written)
        others.append(written)
    logging.basicConfig(handlers=others, level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a request would drown what matters
    return lines.info


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback's own lines below it."""
        return "\n".join(plain(line) for line in super().format(record).split("\n"))


def _timed(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(_Plain(_TIMED))
    return handler
