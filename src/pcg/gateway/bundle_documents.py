"""What a gateway's state directory says of it, as documents for a log bundle: steps, events, settings. Called by
`pcg bundle`, also while the gateway runs: its database is opened read-only.

Only what is named here leaves the directory: keys, credentials, tokens and codes are not among it, sealed or not.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pcg.bundle.sources import Document
from pcg.gateway.identity import StateDirectory

_MOST_EVENTS = 20_000
_SECRET_PARTS = {"credentials", "jet_token"}
_OF_REGISTRATION = ("gateway_id", "gateway_name", "console_id", "pins")


def documents_of_state(state: Path) -> list[Document]:
    """None where this machine has no such directory: a node of the cluster, or a machine before its installer ran."""
    database = StateDirectory(state).database
    if not database.parent.is_dir():
        return []

    def ask(question: Callable[[sqlite3.Connection], Any]) -> Callable[[], Any]:
        async def answer() -> Any:
            with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                return question(connection)

        return answer

    return [
        Document("steps", ask(partial(_remembered, key="steps"))),
        Document("events", ask(_events)),
        Document("settings", ask(partial(_settings, state=StateDirectory(state)))),
    ]


def names_of_this_machine() -> list[str]:
    return list(dict.fromkeys([socket.gethostname(), socket.getfqdn()]))


def _remembered(connection: sqlite3.Connection, key: str) -> Any:
    row = connection.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
    return json.loads(row[0]) if row else None


def _events(connection: sqlite3.Connection) -> list[Any]:
    """The latest, oldest first."""
    rows = connection.execute("SELECT event FROM outbox ORDER BY position DESC LIMIT ?", (_MOST_EVENTS,)).fetchall()
    return [json.loads(row[0]) for row in reversed(rows)]


def _settings(connection: sqlite3.Connection, state: StateDirectory) -> dict[str, Any]:
    registration = state.registration()
    desired = _remembered(connection, "desired") or {}
    return {
        "registration": registration and {name: getattr(registration, name) for name in _OF_REGISTRATION},
        "desired": {name: value for name, value in desired.items() if name not in _SECRET_PARTS},
        "cluster": _remembered(connection, "cluster"),
    }
