"""The gateway's database as someone who only looks sees it: nothing is written, made or waited for.

The gateway's process may be running, dead or never started, its disk full or read-only. Used by `machine_knowledge`, by
log bundles, by the installer's own page and by drills.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_LOCKED_SECONDS = 1.0


@contextmanager
def looking_into(database: Path) -> Iterator[sqlite3.Connection]:
    """Raises FileNotFoundError, OSError, sqlite3.Error."""
    database.stat()
    # Without a journal beside it nobody has it open, and SQLite would make one just to read.
    alone = not database.with_name(f"{database.name}-wal").exists()
    name = f"{database.absolute().as_uri()}?mode=ro" + ("&immutable=1" if alone else "")
    with closing(sqlite3.connect(name, uri=True, timeout=_LOCKED_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


def read_memory(database: Path) -> dict[str, str]:
    """Every key and value. Raises as `looking_into` does."""
    with looking_into(database) as connection:
        return {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM memory")}
