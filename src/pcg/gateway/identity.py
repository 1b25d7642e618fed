"""Who this gateway is, on disk: its keys (mode 0600), its registration, and the lock that keeps a second process out.

Every file is replaced whole (written beside, synced, renamed), so that a kill leaves the old or the new one. Used by
the agent and the installer.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pcg.errors import Conflict, ProtocolError, SetupMissing
from pcg.gateway.installation import Installation
from pcg.model.records import Record
from pcg.sealing.keys import GatewayKeys

_Document = TypeVar("_Document", bound=BaseModel)


class Registration(Record):
    """What pairing gave: kept until the gateway is deleted. The identity key pins the console for every session."""

    gateway_id: str
    gateway_name: str
    console_id: str
    identity_key: str
    ca: str
    """PEM of the CAs that alone are trusted for the console: the one of the pairing, until the console tells others"""
    pins: tuple[str, ...] = ()
    """of every CA that was ever trusted: whoever still gives one of them means the same console"""
    signing_key: str
    """public half of the gateway's key that was registered; a registration of other keys is worthless"""
    pairing_key: str
    """public half of the key derived from the pairing code; another code given later means: pair again"""


class StateDirectory:
    """`--state DIR`: keys.json, registration.json, gateway.db, artifacts/, bundle/, jet/token, jet/ca.pem, lock; and
    for those who look on installation.json, alive.json (`signs_of_life.py`), findings.json (`own_findings.py`) and
    monitor/ (the installer's own page)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "gateway.db"
        self.artifacts = path / "artifacts"
        self.bundle = path / "bundle"
        self.jet_token = path / "jet" / "token"
        self.jet_ca = path / "jet" / "ca.pem"
        self._keys = path / "keys.json"
        self._registration = path / "registration.json"
        self._installation = path / "installation.json"
        self._wiping = path / "wiping"
        self._deleted = path / "deleted"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory (0700) and hold it for this process; the kernel lets go when the process ends."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"Another gateway process uses {self.path}.",
                    reason="state-in-use",
                    remedy=["Stop the other process, or give this one a --state directory of its own."],
                ) from None
            yield
        finally:
            os.close(lock)

    def keys(self) -> GatewayKeys:
        """The gateway's keys, made at the first call and durable before they are returned."""
        known = self.known_keys()
        if known is not None:
            return known
        keys = GatewayKeys.generate()
        self._write(self._keys, json.dumps(keys.to_json()))
        return keys

    def known_keys(self) -> GatewayKeys | None:
        """For those who only look: nothing is made."""
        document = self._read(self._keys)
        if document is None:
            return None
        try:
            return GatewayKeys.from_json(json.loads(document))
        except (KeyError, TypeError, AttributeError, ValueError, ProtocolError) as error:
            raise _damaged(self._keys) from error

    def registration(self) -> Registration | None:
        return self._parsed(self._registration, Registration)

    def installation(self) -> Installation | None:
        """How the gateway was last started."""
        return self._parsed(self._installation, Installation)

    def begin(self, installation: Installation) -> None:
        self._write(self._installation, installation.model_dump_json(indent=2))

    def register(self, registration: Registration) -> None:
        self._write(self.jet_ca, registration.ca)
        self._write(self._registration, registration.model_dump_json(indent=2))

    def read_jet_token(self) -> bytes | None:
        token = self._read(self.jet_token)
        return None if token is None else token.encode()

    def put_jet_token(self, token: bytes | None) -> None:
        """None takes it away."""
        if token is None:
            self.jet_token.unlink(missing_ok=True)
        else:
            self._write(self.jet_token, token.decode())

    def wipe(self) -> None:
        """Forget who we are. A kill in between is seen (`half_wiped`) and finished at the next start.

        What stays is the public half of the pairing code that was used, so that a restart by a supervisor is told from
        a new start. Overwriting is not attempted: file systems and disks keep old blocks as they like. The keys are
        worthless because the console has revoked them.
        """
        if not self.half_wiped():
            known = self.registration()
            self._write(self._wiping, known.pairing_key if known else "")
        ours = (
            self._keys,
            self._registration,
            self._installation,
            self.jet_token,
            self.jet_ca,
            self.path / "alive.json",
            self.path / "findings.json",
        )
        for path in (*ours, *self.path.glob("gateway.db*")):
            path.unlink(missing_ok=True)
        for folder in (self.artifacts, self.bundle):
            shutil.rmtree(folder, ignore_errors=True)
        self._wiping.replace(self._deleted)
        _sync_directory(self.path)

    def half_wiped(self) -> bool:
        return self._wiping.exists()

    def deleted_gateway(self) -> str | None:
        """The public half of the pairing code with which the gateway had registered that was here and was deleted."""
        return self._read(self._deleted)

    def begin_anew(self) -> None:
        """Another gateway shall live here."""
        self._deleted.unlink(missing_ok=True)

    def _parsed(self, path: Path, kind: type[_Document]) -> _Document | None:
        text = self._read(path)
        if text is None:
            return None
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            raise _damaged(path) from error

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(path, error) from error

    def _write(self, path: Path, text: str) -> None:
        beside = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            beside.unlink(missing_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            _sync_directory(path.parent)
        except OSError as error:
            raise _unusable(path, error) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: Exception) -> SetupMissing:
    return SetupMissing(
        f"The gateway's state {path} cannot be used.",
        reason="state-unusable",
        evidence=[f"{type(error).__name__}: {error}"],
        remedy=["Give --state a directory that this user may read and write, on a disk with free space."],
    )


def _damaged(path: Path) -> SetupMissing:
    return SetupMissing(
        f"{path} is damaged.",
        reason="state-damaged",
        evidence=["it does not hold what this program writes there"],
        remedy=[
            "Restore it from a backup, or re-pair: remove it, and start the installer with a new pairing code "
            "for the same gateway."
        ],
    )
