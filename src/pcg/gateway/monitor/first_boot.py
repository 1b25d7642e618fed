"""What the installer's own page is proved and opened by: a certificate and a password, both made on this machine.

Made at the first boot and kept in the state folder below `monitor/` (0700): `certificate.pem`, `key.pem`,
`password.json`. The password itself is kept nowhere: it is shown on the machine's screen, and its Argon2id hash is what
stays. There is no password that all machines share. Called by `server.py` and by `pcg monitor reset-password`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pcg.errors import SetupMissing

FOLDER = "monitor"

_SYMBOLS = "abcdefghjkmnpqrstuvwxyz23456789"
"""none that could be taken for another on a screen"""
_GROUPS, _GROUP = 4, 4
"""sixteen of 31 symbols: 79 bits"""

_LIFETIME = timedelta(days=825)
"""longer ones are refused by some browsers even where a person trusts the certificate"""
_RENEWED_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(days=1)
"""a browser's clock may be behind this machine's"""


class FirstBoot:
    """The files of one state folder. Every call reads them: `reset-password` is another process."""

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER
        self.certificate = self.folder / "certificate.pem"
        self.key = self.folder / "key.pem"
        self._password = self.folder / "password.json"
        # OWASP's smallest setting: the page lives on the installer's machine, which is small.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

    def prepare(self) -> None:
        """Make the folder and, unless a good one is there, the certificate. Raises SetupMissing."""
        try:
            self._make_folder()
            if not self._certificate_is_good():
                self._make_certificate()
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def certificate_fingerprint(self) -> str:
        """SHA-256 of the certificate as browsers show it: pairs of digits with colons."""
        served = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        return served.fingerprint(hashes.SHA256()).hex(":").upper()

    def password_hash(self) -> str | None:
        """None: no password was made yet. A file that cannot be read opens the page to nobody."""
        try:
            found = json.loads(self._password.read_text())["argon2"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def keep_password(self, password: str) -> None:
        """From now on this one opens the page. Raises SetupMissing."""
        try:
            self._make_folder()
            _write(self._password, json.dumps({"argon2": self._hasher.hash(normal(password))}).encode())
        except OSError as error:
            raise _unusable(self.folder, error) from error

    def fits(self, typed: str, kept: str) -> bool:
        """Takes some tens of milliseconds and 19 MiB."""
        try:
            return self._hasher.verify(kept, normal(typed))
        except (VerificationError, InvalidHashError):
            return False

    def _make_folder(self) -> None:
        state = self.folder.parent
        state.parent.mkdir(parents=True, exist_ok=True)
        for folder in (state, self.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                _give_to_owner_of(folder.parent, folder)

    def _certificate_is_good(self) -> bool:
        try:
            known = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            self.key.stat()
        except (FileNotFoundError, ValueError):
            return False
        return known.not_valid_after_utc - datetime.now(UTC) > _RENEWED_BEFORE

    def _make_certificate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        host = socket.gethostname()[:64] or "installer"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pcg installer {host}"[:64])])
        now = datetime.now(UTC)
        names = [x509.DNSName(item) for item in dict.fromkeys((host, "localhost")) if item.isascii()]
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _write(self.certificate, made.public_bytes(Encoding.PEM))


def new_password() -> str:
    return "-".join("".join(secrets.choice(_SYMBOLS) for _ in range(_GROUP)) for _ in range(_GROUPS))


def normal(typed: str) -> str:
    """As it is hashed: whether the hyphens and capitals were typed does not matter."""
    return "".join(typed[:256].lower().split()).replace("-", "")


def banner(where: str, fingerprint: str, password: str | None) -> str:
    """The lines for the machine's screen. `password` None: it was shown before, and is known nowhere any more."""
    shown = password or "was shown at the first boot; a new one: pcg monitor reset-password"
    return (
        "\n"
        f"  pcg installer: status and logs   {where}\n"
        f"  password                         {shown}\n"
        f"  certificate SHA-256              {fingerprint[:47]}\n"
        f"                                   {fingerprint[48:]}\n"
        "\n"
    )


def show_banner(path: Path, text: str) -> bool:
    """Replace the file of the login screen, for its owner's eyes only (getty is root). Whether it could be written."""
    try:
        _write(path, text.encode())
    except OSError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, 0600."""
    beside = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _give_to_owner_of(path.parent, beside)
    beside.replace(path)


def _give_to_owner_of(folder: Path, path: Path) -> None:
    """What root makes (`pcg monitor reset-password` by hand) must be readable for the installer's user."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _unusable(path: Path, error: OSError) -> SetupMissing:
    return SetupMissing(
        f"The page's folder {path} cannot be used.",
        reason="monitor-state",
        evidence=[f"{type(error).__name__}: {error}"],
        remedy=["Run it as the user of the installer, with the installer's --state directory."],
    )
