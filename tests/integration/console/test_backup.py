"""Backup of a console in use, and what `restore` takes and refuses."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from pcg.cli.console import console as console_command
from pcg.clock import SystemClock
from pcg.console.app import create_app
from pcg.console.backup import NAMES, backup
from pcg.console.backup_format import Cost, seal, unseal
from pcg.console.restore import POSITIONS_LEFT_OUT, restore
from pcg.console.settings import Settings
from pcg.console.store.models import AuditEntry, Gateway, WebSession
from pcg.errors import Conflict, CredentialsRejected, InvalidInput, PcgError, SetupMissing

from .conftest import EMAIL, PASSWORD, Console

PASSPHRASE = "four words are enough"
CHEAP = Cost(passes=1, memory_kib=64, lanes=1)
CLOCK = SystemClock()
CHUNK = 64 * 1024
ALWAYS = set(NAMES) - {"ca-next.pem", "ca-old.pem"}
"""the others are there once the CA is rotated; test_rotate_ca.py has them"""


@pytest.fixture
async def made(console: Console, tmp_path: Path) -> Path:
    """A backup of a console with a gateway, made while it runs; the data folder is `tmp_path`."""
    await console.configured("kept")
    file = tmp_path / "kept.backup"
    await asyncio.to_thread(backup, file, tmp_path, PASSPHRASE, CLOCK, cost=CHEAP)
    return file


def _sealed(file: Path, parts: list[bytes], passphrase: str = PASSPHRASE) -> Path:
    with file.open("wb") as out:
        seal(parts, passphrase, out, CHEAP)
    return file


def _opened(file: Path) -> tuple[dict[str, Any], bytes]:
    with file.open("rb") as source:
        line, _, rest = b"".join(unseal(source, PASSPHRASE)).partition(b"\n")
    return json.loads(line), rest


async def _refused(file: Path, target: Path, kind: type[PcgError], reason: str, passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(kind) as caught:
        await asyncio.to_thread(restore, file, target, passphrase, CLOCK)
    assert caught.value.reason == reason
    assert caught.value.remedy
    assert not target.exists()
    assert not list(target.parent.glob(f".{target.name}*"))
    return " ".join([caught.value.what, *caught.value.evidence])


# Whole and good


async def test_a_restored_console_is_the_same_console(console: Console, made: Path, tmp_path: Path):
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    signed_in = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    later = tmp_path / "later.backup"
    await asyncio.to_thread(backup, later, tmp_path, PASSPHRASE, CLOCK, cost=CHEAP)
    target = tmp_path / "new" / "data"
    restored = await asyncio.to_thread(restore, later, target, PASSPHRASE, CLOCK)
    assert restored.kept is None
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {path.name for path in target.iterdir()} == ALWAYS
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}

    app = create_app(Settings(data=target, public_urls=("https://other.test",)), clock=CLOCK)
    async with app.router.lifespan_context(app):
        service, original = app.state.service, console.service.certificates
        assert (service.certificates.pin, service.certificates.ca_pem) == (original.pin, original.ca_pem)
        assert service.certificates.identity_key == original.identity_key
        assert service.certificates.console_id == original.console_id
        await service.accounts.check_password(EMAIL, PASSWORD)
        assert await service.accounts.actor_of_session(signed_in.token) is None
        async with service.database.read() as session:
            assert await session.scalar(select(Gateway.name)) == "kept"
            assert await session.scalar(select(WebSession)) is None
            audit = list(await session.scalars(select(AuditEntry).order_by(AuditEntry.position)))
        assert audit[-1].action == "restored"
        # Positions that were given after the backup are never given again.
        assert audit[-1].position > audit[-2].position + POSITIONS_LEFT_OUT


async def test_nothing_readable_is_in_the_file(console: Console, made: Path, tmp_path: Path):
    content = made.read_bytes()
    secret = json.loads((tmp_path / "identity.json").read_text())["identity-key"].encode()
    for telling in (b"SQLite format", b"PRIVATE KEY", b"kept", EMAIL.encode(), secret, b"console.db"):
        assert telling not in content


async def test_a_backup_taken_while_it_is_written_is_of_one_moment(console: Console, tmp_path: Path):
    """Each gateway comes with its audit entry in one transaction: a backup holds both or neither."""
    ending = asyncio.Event()

    async def write() -> None:
        number = 0
        while not ending.is_set():
            await console.create(f"g{number}")
            number += 1

    writing = asyncio.create_task(write())
    try:
        for number in range(3):
            file, target = tmp_path / f"{number}.backup", tmp_path / f"restored-{number}"
            await asyncio.to_thread(backup, file, tmp_path, PASSPHRASE, CLOCK, cost=CHEAP)
            await asyncio.to_thread(restore, file, target, PASSPHRASE, CLOCK)
            store = sqlite3.connect(target / "console.db")
            gateways = {row[0] for row in store.execute("SELECT id FROM gateways")}
            audited = {row[0] for row in store.execute("SELECT gateway_id FROM audit WHERE gateway_id IS NOT NULL")}
            store.close()
            assert gateways == audited
    finally:
        ending.set()
        await writing


async def test_all_that_a_console_keeps_is_in_a_backup(console: Console, made: Path, tmp_path: Path):
    """Fails when the console begins to keep another file: then it belongs into NAMES, or into this list."""
    # What an operator put into `artifacts` they have elsewhere too; the built-in is written at each start. Log bundles
    # are kept for days only, and can be asked for again.
    left_out = {"server.crt", "server.key", "console.db-wal", "console.db-shm", "artifacts", "bundles"}
    assert {path.name for path in tmp_path.iterdir() if path != made} - left_out == ALWAYS


async def test_a_restore_keeps_what_was_there(console: Console, made: Path, tmp_path: Path):
    target = tmp_path / "data"
    target.mkdir()
    (target / "note").write_text("old")
    with pytest.raises(Conflict, match="not empty"):
        await asyncio.to_thread(restore, made, target, PASSPHRASE, CLOCK)
    restored = await asyncio.to_thread(restore, made, target, PASSPHRASE, CLOCK, replace=True)
    assert restored.kept is not None
    assert (restored.kept / "note").read_text() == "old"
    assert {path.name for path in target.iterdir()} == ALWAYS


async def test_a_running_console_is_not_replaced(console: Console, made: Path, tmp_path: Path):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(Conflict) as caught:
        await asyncio.to_thread(restore, made, tmp_path, PASSPHRASE, CLOCK, replace=True)
    assert caught.value.reason == "console-running"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    await console.create("still here")


async def test_when_the_last_step_fails_the_old_folder_is_back(
    console: Console, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "data"
    target.mkdir()
    (target / "note").write_text("old")
    real = Path.rename

    def fails_for_the_new(self: Path, to: Path) -> Path:
        if ".restoring-" in self.name:
            raise OSError(28, "No space left on device")
        return real(self, to)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(SetupMissing, match="No space left"):
        await asyncio.to_thread(restore, made, target, PASSPHRASE, CLOCK, replace=True)
    assert [path.name for path in target.iterdir()] == ["note"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".data", "data."))] == []


# Refused


async def test_another_passphrase(made: Path, tmp_path: Path):
    await _refused(made, tmp_path / "t", CredentialsRejected, "passphrase-wrong", "four words are wrong")


@pytest.mark.parametrize("kept", ["half", "all but a byte", "whole chunks", "header", "first line", "nothing"])
async def test_a_truncated_file(made: Path, tmp_path: Path, kept: str):
    content = made.read_bytes()
    header = content.index(b"\n", content.index(b"\n") + 1) + 1
    assert len(content) > header + 32 + CHUNK + 16
    size = {
        "half": len(content) // 2, "all but a byte": len(content) - 1, "whole chunks": header + 32 + CHUNK + 16,
        "header": header + 5, "first line": 20, "nothing": 0,
    }[kept]  # fmt: skip
    made.write_bytes(content[:size])
    await _refused(made, tmp_path / "t", InvalidInput, "backup-truncated" if size else "backup-unknown")


async def test_changed_bytes_and_swapped_chunks(made: Path, tmp_path: Path):
    content = made.read_bytes()
    start = content.index(b"\n", content.index(b"\n") + 1) + 1 + 32
    for place in (start, start + CHUNK + 20, len(content) - 1):
        made.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InvalidInput) as caught:
            await asyncio.to_thread(restore, made, tmp_path / "t", PASSPHRASE, CLOCK)
        assert caught.value.reason in ("backup-damaged", "backup-truncated")
    size = CHUNK + 16
    first, second = content[start : start + size], content[start + size : start + 2 * size]
    made.write_bytes(content[:start] + second + first + content[start + 2 * size :])
    await _refused(made, tmp_path / "t", InvalidInput, "backup-damaged")


async def test_a_newer_format_and_a_newer_database(made: Path, tmp_path: Path):
    content = made.read_bytes()
    file = tmp_path / "other"
    file.write_bytes(content.replace(b"pcg-backup 1\n", b"pcg-backup 2\n", 1))
    assert "format 2" in await _refused(file, tmp_path / "t", InvalidInput, "backup-newer")

    manifest, rest = _opened(made)
    size = manifest["files"][0]["size"]
    (tmp_path / "later.db").write_bytes(rest[:size])
    store = sqlite3.connect(tmp_path / "later.db")
    store.execute("UPDATE alembic_version SET version_num = '9999'")
    store.commit()
    store.close()
    later = (tmp_path / "later.db").read_bytes()
    manifest["files"][0] |= {"size": len(later), "sha256": hashlib.sha256(later).hexdigest()}
    _sealed(file, [json.dumps(manifest).encode() + b"\n", later, rest[size:]])
    assert "9999" in await _refused(file, tmp_path / "t", InvalidInput, "backup-newer")


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "console.db/../evil", "server.key", "ca.pem\0", "", 7, None, []]
)
async def test_names_that_are_not_a_consoles(made: Path, tmp_path: Path, name: object):
    manifest, rest = _opened(made)
    manifest["files"][-1]["name"] = name
    _sealed(made, [json.dumps(manifest).encode() + b"\n", rest])
    await _refused(made, tmp_path / "t", InvalidInput, "backup-names")
    assert not (tmp_path / "evil").exists()


def _broken_content(manifest: dict[str, Any], rest: bytes) -> Iterator[tuple[str, list[bytes]]]:
    def line(**changed: Any) -> bytes:
        return json.dumps(manifest | changed).encode() + b"\n"

    files = manifest["files"]
    yield "more than listed", [line(), rest, b"x"]
    yield "less than listed", [line(), rest[:-1]]
    yield "another byte", [line(), rest[:-1] + bytes([rest[-1] ^ 1])]
    yield "no database", [line(files=files[1:]), rest[files[0]["size"] :]]
    yield "twice", [line(files=[*files, files[0]]), rest]
    yield "negative", [line(files=[files[0] | {"size": -1}, *files[1:]]), rest]
    yield "no list", [b"[]\n"]
    yield "no line", [b"x" * 200_000]
    yield "deep", [b"[" * 50_000 + b"\n"]
    empty = hashlib.sha256().hexdigest()
    identity = {"name": "identity.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    others = b"".join([rest[: files[0]["size"]], b"{}"])
    yield "identity of another kind", [line(files=[files[0], identity]), others]
    yield "no SQLite", [line(files=[files[0] | {"size": 0, "sha256": empty}, *files[1:]]), rest[files[0]["size"] :]]


async def test_content_that_no_console_wrote(made: Path, tmp_path: Path):
    for what, parts in _broken_content(*_opened(made)):
        _sealed(made, parts)
        reason = "backup-truncated" if what == "less than listed" else "backup-damaged"
        await _refused(made, tmp_path / "t", InvalidInput, reason)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"x",
        b'{"kdf":"argon2id","passes":"x"}',
        b'{"kdf":"argon2id","passes":1,"memory-kib":64,"lanes":1,"salt":"AA=="}',
        b'{"kdf":"argon2id","passes":1,"memory-kib":99999999999,"lanes":1,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}',
    ],
)
async def test_a_header_costs_nothing_before_it_is_sound(tmp_path: Path, line: bytes):
    file = tmp_path / "b"
    file.write_bytes(b"pcg-backup 1\n" + line + b"\n" + b"x" * 100)
    await _refused(file, tmp_path / "t", InvalidInput, "backup-damaged")


async def test_a_short_passphrase_and_an_existing_file(console: Console, made: Path, tmp_path: Path):
    with pytest.raises(Conflict):
        await asyncio.to_thread(backup, made, tmp_path, PASSPHRASE, CLOCK)
    with pytest.raises(InvalidInput, match="12 characters"):
        await asyncio.to_thread(backup, tmp_path / "b", tmp_path, "short", CLOCK)
    with pytest.raises(SetupMissing):
        await asyncio.to_thread(backup, tmp_path / "no" / "b", tmp_path, PASSPHRASE, CLOCK, cost=CHEAP)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_postgresql_is_refused_with_what_to_do_instead(tmp_path: Path):
    for database in ("postgresql+asyncpg://u:secret@h/d", None):
        with pytest.raises(InvalidInput) as caught:
            backup(tmp_path / "b", tmp_path, PASSPHRASE, CLOCK, database=database)
        told = str(caught.value.remedy)
        assert "pg_dump" in told and "data folder" in told
        assert "secret" not in repr(caught.value)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_any_size_comes_back(size: int):
    content, out = os.urandom(size), io.BytesIO()
    seal([content[:7], content[7:]], PASSPHRASE, out, CHEAP)
    out.seek(0)
    assert b"".join(unseal(out, PASSPHRASE)) == content


# The commands


def test_the_commands_as_a_person_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PCG_BACKUP_PASSPHRASE", raising=False)
    data, file, secret = tmp_path / "data", tmp_path / "b", tmp_path / "secret"
    app = create_app(Settings(data=data, admin_email=EMAIL, admin_password=PASSWORD), clock=CLOCK)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(run())
    secret.write_text(f"{PASSPHRASE}\n")
    runner = CliRunner()
    twice = f"{PASSPHRASE}\n{PASSPHRASE}\n"
    done = runner.invoke(console_command, ["backup", str(file), "--data", str(data)], input=twice)
    assert done.exit_code == 0, done.output
    assert PASSPHRASE not in done.output
    options = ["restore", str(file), "--data", str(tmp_path / "new"), "--passphrase-file", str(secret)]
    done = runner.invoke(console_command, options)
    assert done.exit_code == 0, done.output
    assert "revoke again" in done.output
    monkeypatch.setenv("PCG_BACKUP_PASSPHRASE", PASSPHRASE)
    done = runner.invoke(console_command, ["restore", str(file), "--data", str(data), "--replace"])
    assert done.exit_code == 0, done.output
    assert "is kept in" in done.output


async def test_a_refusal_is_readable_and_no_traceback(tmp_path: Path):
    (tmp_path / "b").write_bytes(b"anything")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pcg.cli.main", "console", "restore", str(tmp_path / "b"), "--data", str(tmp_path / "d"),
        stderr=asyncio.subprocess.PIPE, env=dict(os.environ) | {"PCG_BACKUP_PASSPHRASE": PASSPHRASE},
    )  # fmt: skip
    _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode().startswith("error: This file is not a backup of a console.")
    assert "remedy:" in told.decode() and "Traceback" not in told.decode()
