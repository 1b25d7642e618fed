"""What a gateway's state directory says of it, as documents for a log bundle: steps, findings, events, settings, what
probes of its ways answer; and the secrets that it holds, so that they are taken out of the logs wherever they stand.

Called by `pcg bundle` and by what the gateway starts for the console, also while the gateway runs: its database is
opened read-only. Only what is named here leaves the directory: keys, credentials, tokens and codes, sealed or not, are
not among it.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pcg.bundle.sources import Document
from pcg.errors import PcgError
from pcg.gateway.identity import StateDirectory
from pcg.gateway.machine_knowledge import Given
from pcg.gateway.own_findings import read_findings
from pcg.gateway.store_reading import looking_into
from pcg.gateway.this_machine import examine_this_machine
from pcg.sealing.boxes import open_credentials

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
            with looking_into(database) as connection:
                return question(connection)

        return answer

    return [
        Document("steps", ask(partial(_remembered, key="steps"))),
        Document("findings", read_findings(state).model_dump(mode="json")),
        Document("events", ask(_events)),
        Document("settings", ask(partial(_settings, state=StateDirectory(state)))),
        Document("probes", partial(_probes, state)),
    ]


def secrets_of_state(state: Path) -> list[str]:
    """Passwords, tokens and keys as they would stand in a log. What cannot be read is not known, and no error: the
    patterns of redaction find most of it all the same."""
    directory = StateDirectory(state)
    if not directory.database.parent.is_dir():
        return []
    found = list[str]()
    with suppress(PcgError):
        token = directory.read_jet_token()
        found += [token.decode()] if token else []
    keys = None
    with suppress(PcgError):
        keys = directory.known_keys()
    if keys is None:
        return found
    found += list(keys.to_json().values())
    with suppress(PcgError, OSError, sqlite3.Error, ValueError), looking_into(directory.database) as connection:
        sealed = (_remembered(connection, "desired") or {}).get("credentials")
        if sealed:
            found.append(open_credentials(keys.opening, str(sealed["ciphertext"])).password)
    return found


def names_of_this_machine() -> list[str]:
    return list(dict.fromkeys([socket.gethostname(), socket.getfqdn()]))


def _remembered(connection: sqlite3.Connection, key: str) -> Any:
    row = connection.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
    return json.loads(row[0]) if row else None


def _events(connection: sqlite3.Connection) -> list[Any]:
    """The latest, oldest first."""
    rows = connection.execute("SELECT event FROM outbox ORDER BY position DESC LIMIT ?", (_MOST_EVENTS,)).fetchall()
    return [json.loads(row[0]) for row in reversed(rows)]


async def _probes(state: Path) -> Any:
    """What the ways from this machine answer now, hop by hop. Without DHCP's question, which is a broadcast."""
    report = await examine_this_machine(Given(state, dhcp=False), datetime.now(UTC), logs=None)
    return [answer.as_json() for answer in report.probes]


def _settings(connection: sqlite3.Connection, state: StateDirectory) -> dict[str, Any]:
    registration = state.registration()
    desired = _remembered(connection, "desired") or {}
    return {
        "registration": registration and {name: getattr(registration, name) for name in _OF_REGISTRATION},
        "desired": {name: value for name, value in desired.items() if name not in _SECRET_PARTS},
        "cluster": _remembered(connection, "cluster"),
    }
