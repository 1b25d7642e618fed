"""A whole console as one encrypted file: database, CA and identity. `pcg console backup` calls it.

The content is one line of JSON, the manifest, and then the files it lists, one after the other. Names come from a list
that is fixed here, so no name in a file can lead anywhere. `backup_format.py` encrypts, `restore.py` reads.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pcg.clock import Clock
from pcg.console import authorities
from pcg.console.backup_format import Cost, seal
from pcg.errors import Conflict, InvalidInput, PcgError, SetupMissing

DATABASE = "console.db"
NAMES = (DATABASE, "identity.json", *authorities.FILES)
"""All that a backup holds. The CA's files are missing where there are none; the server's own certificate is left out,
because the console makes it anew for the names that it then has."""
_PART = 1 << 20


def backup(
    target: Path, data: Path, passphrase: str, clock: Clock, *, database: str | None = None, cost: Cost | None = None
) -> int:
    """Writes `target`, readable by this user alone; whatever happens, it is whole or not there. Answers its size.

    The console may run meanwhile: the database is copied as it is at one moment. Raises InvalidInput, Conflict,
    SetupMissing.
    """
    source = check_source(target, data, database)
    draft = target.with_name(f".{target.name}.{os.urandom(4).hex()}.new")
    try:
        # The copy is not encrypted yet, so it stays where the same data lie open anyway.
        with tempfile.TemporaryDirectory(dir=data, prefix=".backup-") as folder:
            files = _gather(source, data, Path(folder))
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                seal(_content(files, clock.now()), passphrase, out, cost)
                out.flush()
                os.fsync(out.fileno())
        size = draft.stat().st_size
        draft.replace(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise disk_trouble("The backup could not be written", error) from error
    finally:
        draft.unlink(missing_ok=True)
    return size


def check_source(target: Path, data: Path, database: str | None) -> Path:
    """The database's file. Asked first, before anybody types a passphrase. Raises InvalidInput, Conflict."""
    source = _database_file(data, database)
    missing = [path.name for path in (source, data / "identity.json") if not path.is_file()]
    if missing:
        raise InvalidInput(
            f"{data} is not the data folder of a console that keeps its data in SQLite.",
            reason="data-folder",
            field_name="data",
            evidence=[f"{name} is not there" for name in missing],
            remedy=["Give the folder that `pcg console serve --data` was given.", _postgresql_remedy()],
        )
    if target.exists():
        raise Conflict(f"{target} exists already.", reason="backup-exists", remedy=["Choose another name for it."])
    return source


def _database_file(data: Path, database: str | None) -> Path:
    if database is None:
        return data / DATABASE
    try:
        url = make_url(database)
    except ArgumentError:
        raise InvalidInput("The database's URL cannot be read.", reason="database-url", field_name="database") from None
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database)
    raise InvalidInput(
        "This command copies SQLite; the console's database is another one.",
        reason="backup-database",
        field_name="database",
        evidence=[f"the database is {url.get_backend_name()}"],
        remedy=[_postgresql_remedy()],
    )


def _postgresql_remedy() -> str:
    return (
        "With PostgreSQL: back up the database by `pg_dump --format=custom`, and the console's data folder with it, "
        "encrypted: it holds the CA and the identity that gateways trust."
    )


def _gather(source: Path, data: Path, folder: Path) -> list[tuple[str, Path]]:
    copy = folder / DATABASE
    copy.touch(mode=0o600)
    # One reading transaction: writers go on meanwhile, and nothing of theirs is half in it.
    with contextlib.closing(sqlite3.connect(source, timeout=30, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    files = [(DATABASE, copy)]
    for name in NAMES[1:]:
        # A copy, because a certificate may be renewed between the manifest and the reading.
        if (data / name).is_file():
            shutil.copyfile(data / name, folder / name)
            files.append((name, folder / name))
    return files


def _content(files: list[tuple[str, Path]], now: datetime) -> Iterator[bytes]:
    entries = []
    for name, path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entries.append({"name": name, "size": path.stat().st_size, "sha256": digest})
    manifest = {"made-at": now.isoformat(timespec="seconds"), "schema": revision_of(files[0][1]), "files": entries}
    yield json.dumps(manifest).encode() + b"\n"
    for _, path in files:
        with path.open("rb") as file:
            while part := file.read(_PART):
                yield part


def machine_user() -> str:
    """Who is at the console's machine, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def revision_of(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_trouble(what: str, error: OSError | sqlite3.Error) -> PcgError:
    number = error.errno if isinstance(error, OSError) else None
    remedy = {
        errno.ENOSPC: "Make room on the disk.",
        errno.EACCES: "Run it as the user that the console runs as, and check who may write there.",
        errno.EPERM: "Run it as the user that the console runs as, and check who may write there.",
        errno.ENOENT: "Check the path.",
        errno.EBUSY: "The data folder is a mount point: restore into a folder below it and give that to --data.",
        errno.EXDEV: "The data folder is a mount point: restore into a folder below it and give that to --data.",
    }
    return SetupMissing(
        f"{what}: {error}.",
        reason="backup-disk",
        remedy=[remedy.get(number or 0, "See to the disk and the permissions, then run it again.")],
    )
