"""The gateway's memory as someone who only looks sees it: nothing is written, made or waited for.

The gateway's process may be running, dead or never started, its disk full or read-only. Used by `machine_knowledge`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_LOCKED_SECONDS = 1.0


def read_memory(database: Path) -> dict[str, str]:
    """Every key and value. Raises FileNotFoundError, OSError, sqlite3.Error."""
    database.stat()
    # Without a journal beside it nobody has it open, and SQLite would make one just to read.
    alone = not database.with_name(f"{database.name}-wal").exists()
    name = f"{database.absolute().as_uri()}?mode=ro" + ("&immutable=1" if alone else "")
    with closing(sqlite3.connect(name, uri=True, timeout=_LOCKED_SECONDS, isolation_level=None)) as connection:
        return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM memory")}
