"""A console from its backup: everything is unpacked and checked beside the data folder before anything is replaced.
`pcg console restore` calls it; the format is that of `backup.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import delete, text
from sqlalchemy.exc import SQLAlchemyError

from pcg.clock import Clock
from pcg.console.audit import record
from pcg.console.backup import DATABASE, NAMES, disk_trouble, machine_user, revision_of, sync_folder
from pcg.console.backup_format import damaged, newer, truncated, unseal
from pcg.console.certificates import open_certificates
from pcg.console.one_time_links import end_one_time_links
from pcg.console.restored import leave_mark
from pcg.console.store import migrations
from pcg.console.store.database import Database, sqlite_url
from pcg.console.store.models import WebSession
from pcg.errors import Conflict, InvalidInput

_NEEDED = frozenset({DATABASE, "identity.json"})
_MANIFEST_LIMIT = 64 * 1024
_PART = 1 << 20

POSITIONS_LEFT_OUT = 1_000_000_000
"""Positions of events and audit given after the backup are lost with it; these many are never given, so that whoever
remembers one of them as a cursor still gets everything that gateways send again."""


@dataclass(frozen=True)
class Restored:
    made_at: str
    kept: Path | None
    """where the folder that was there before is now"""


def restore(source: Path, data: Path, passphrase: str, clock: Clock, *, replace: bool = False) -> Restored:
    """Unpacks beside `data`, checks everything there, and only then puts it in place by renaming.

    Web sessions of the backup end, and the console knows from then on that it was restored (`restored.py`). Not for use
    inside an event loop. Raises InvalidInput, CredentialsRejected, Conflict, SetupMissing.
    """
    data = data.resolve()
    try:
        occupied = data.exists() and any(data.iterdir())
        if occupied and not replace:
            raise Conflict(
                f"{data} is not empty.",
                reason="data-folder",
                remedy=["Restore into a new folder.", "Or give --replace: what is there is kept beside it."],
            )
        if occupied:
            _refuse_while_running(data)
        data.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=data.parent, prefix=f".{data.name}.restoring-"))
        try:
            made_at = _unpack(source, staging, passphrase)
            _prove(staging, clock, made_at)
            kept = _put_in_place(staging, data, clock.now() if occupied else None)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise disk_trouble("The backup could not be restored", error) from error
    return Restored(made_at, kept)


def _refuse_while_running(data: Path) -> None:
    if not (data / DATABASE).is_file():
        return
    with contextlib.closing(sqlite3.connect(data / DATABASE, timeout=0, isolation_level=None)) as connection:
        try:
            # Whoever has the database open, even idle, is in the way of an exclusive lock.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise disk_trouble("The present database could not be looked at", error) from error
            raise Conflict(
                "The console of this folder is running.",
                reason="console-running",
                evidence=[f"{data / DATABASE} is open in another process"],
                remedy=["Stop the console, then restore."],
            ) from error
        except sqlite3.DatabaseError:
            return  # a damaged database is a reason to restore, and no console runs on one


def _unpack(source: Path, folder: Path, passphrase: str) -> str:
    """Every file, checked against the manifest; answers when the backup was made."""
    with source.open("rb") as file:
        content = _Content(unseal(file, passphrase))
        manifest = _manifest(content.line(_MANIFEST_LIMIT))
        for entry in manifest["files"]:
            _write_checked(content, folder, entry)
        if content.read(1):
            raise damaged("it holds more than its list says")
    return str(manifest["made-at"])


def _manifest(line: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(line)
        names = [entry["name"] for entry in manifest["files"]]
        sound = all(isinstance(entry["size"], int) and entry["size"] >= 0 for entry in manifest["files"])
        datetime.fromisoformat(manifest["made-at"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged("the list of its files cannot be read") from error
    foreign = [name for name in names if name not in NAMES]
    if foreign:
        raise InvalidInput(
            "The backup holds a file that is no part of a console.",
            reason="backup-names",
            field_name="file",
            evidence=[f"it is called {foreign[0]!r}"[:300]],
            remedy=["Nothing was restored. Find out who made this file, or use a newer pcg if that made it."],
        )
    if not sound or len(set(names)) != len(names) or not set(names) >= _NEEDED:
        raise damaged("the list of its files is not that of a console")
    return dict(manifest)


def _write_checked(content: _Content, folder: Path, entry: dict[str, Any]) -> None:
    digest, left = hashlib.sha256(), entry["size"]
    descriptor = os.open(folder / entry["name"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while left:
            part = content.read(min(left, _PART))
            if not part:
                raise truncated()
            digest.update(part)
            out.write(part)
            left -= len(part)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != entry.get("sha256"):
        raise damaged(f"{entry['name']} is not what was backed up")


def _prove(folder: Path, clock: Clock, made_at: str) -> None:
    """That this pcg can run on it: identity and CA are read, the database is whole and migrates."""
    path, held = folder / DATABASE, {file.name for file in folder.iterdir()}
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        revision = revision_of(path)
    except sqlite3.Error as error:
        raise damaged(f"its database: {error}") from error
    if found != "ok":
        raise damaged(f"its database: {found}")
    known = {script.revision for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()}
    if revision not in known:
        raise newer(f"its database has the version {revision!r}")
    try:
        open_certificates(folder, {"localhost"}, clock.now())
        asyncio.run(_begin_anew(path, clock, made_at))
    except InvalidInput as error:
        raise damaged(error.what) from error
    except SQLAlchemyError as error:
        raise damaged(f"its database: {error}") from error
    # What the trial made besides: the console makes its own, for the names that it has here.
    for file in list(folder.iterdir()):
        if file.name not in held:
            file.unlink()


async def _begin_anew(path: Path, clock: Clock, made_at: str) -> None:
    database = Database(sqlite_url(path))
    try:
        await database.migrate()
        async with database.write() as session:
            await session.execute(delete(WebSession))
            await end_one_time_links(session)
            await leave_mark(session, made_at, clock.now())
            for table in ("events", "audit"):
                # Only tables that have had a row have a line here; in the others position 1 was given to nobody.
                await session.execute(
                    text("UPDATE sqlite_sequence SET seq = seq + :gap WHERE name = :table"),
                    {"gap": POSITIONS_LEFT_OUT, "table": table},
                )
            record(session, clock.now(), "console", "restored", made_at=made_at, machine_user=machine_user())
    finally:
        await database.close()


def _put_in_place(staging: Path, data: Path, replaced_at: datetime | None) -> Path | None:
    kept = None
    if replaced_at is not None:
        kept = data.with_name(f"{data.name}.before-restore-{replaced_at:%Y%m%dT%H%M%S}")
        if kept.exists():
            raise Conflict(f"{kept} exists already.", reason="data-folder", remedy=["Move it away and restore again."])
    if data.exists() and os.geteuid() == 0:
        # An administrator restores; the console's own user must be able to read it.
        owner = data.stat()
        for path in (staging, *staging.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
    if kept is not None:
        data.rename(kept)
    try:
        staging.rename(data)
    except OSError:
        if kept is not None:
            kept.rename(data)
        raise
    sync_folder(data.parent)
    return kept


class _Content:
    """What `unseal` gives, to be read by line and by size."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._waiting = b""

    def read(self, size: int) -> bytes:
        """Fewer bytes than asked for are none or the rest of a part."""
        if not self._waiting:
            self._waiting = next(self._parts, b"")
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    def line(self, limit: int) -> bytes:
        found = b""
        while b"\n" not in found:
            part = self.read(limit)
            if not part or len(found) > limit:
                raise damaged("the list of its files has no end")
            found += part
        line, _, rest = found.partition(b"\n")
        self._waiting = rest + self._waiting
        return line
