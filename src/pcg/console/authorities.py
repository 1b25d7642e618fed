"""The console's own CAs as files: the present one, the next, and those that were before (docs/decisions/0012).

    ca.pem        key and certificate of the present CA, then its certificates by the CAs before it
    ca-next.pem   the same of the CA that will follow; only while gateways are being told of it
    ca-old.pem    certificates of the CAs before it, without keys

A CA bears the name of the one before it, and that one signs it too: then the old CA's constraint that no other CA may
stand below it does not count (RFC 5280, self-issued certificates), and who trusts the old CA alone still gets through
until that one ends. `certificates.py` and `ca_rotation.py` call this.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pcg.errors import InvalidInput

PRESENT, NEXT, OLD = FILES = ("ca.pem", "ca-next.pem", "ca-old.pem")

DATED_BACK = timedelta(days=1)
"""for clocks that lag"""
_LIFETIME = timedelta(days=20 * 365)

_PAIR_ANEW = "Without one, remove {name}; every gateway must then be paired anew."


@dataclass(frozen=True, repr=False)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    crosses: tuple[x509.Certificate, ...]
    """its key signed by the CA before it, that one's by the CA before that, …"""

    @property
    def made(self) -> datetime:
        return self.certificate.not_valid_before_utc + DATED_BACK

    @property
    def ends(self) -> datetime:
        return self.certificate.not_valid_after_utc


@dataclass(frozen=True, repr=False)
class Authorities:
    present: Authority
    next: Authority | None
    old: tuple[x509.Certificate, ...]
    """the newest first; none that has ended"""
    rotated: bool
    """there was another CA before, whether it has ended or not"""


def open_authorities(data: Path, now: datetime) -> Authorities:
    """Makes the first CA where there is none. Raises InvalidInput for files that are damaged."""
    if not (data / PRESENT).exists():
        with _locked(data):
            if not (data / PRESENT).exists():
                name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pcg console CA {uuid.uuid4().hex[:8]}")])
                key = ec.generate_private_key(ec.SECP256R1())
                _write(data / PRESENT, Authority(_certificate(name, key, key, now, now + _LIFETIME), key, ()))
    # Together, so that a change by another process is seen whole.
    with _locked(data):
        present = _read(data / PRESENT, _PAIR_ANEW)
        told = "Remove {name}: the console makes another one in time, and tells gateways."
        following = _read(data / NEXT, told) if (data / NEXT).exists() else None
        before = _read_old(data / OLD)
    # A kill in the middle of a change leaves the present one among the old.
    before = [item for item in before if pin_of(item) != pin_of(present.certificate)]
    living = tuple(item for item in before if now < item.not_valid_after_utc)
    return Authorities(present, following, living, rotated=bool(before))


def make_next(data: Path, now: datetime) -> Authority:
    """The next CA; the one that is there already, if there is one."""
    with _locked(data):
        if (data / NEXT).exists():
            return _read(data / NEXT, "Remove {name}, and run it again.")
        present = _read(data / PRESENT, _PAIR_ANEW)
        key, name = ec.generate_private_key(ec.SECP256R1()), present.certificate.subject
        crosses = tuple(item for item in present.crosses if now < item.not_valid_after_utc)
        if now < present.ends:
            crosses = (_certificate(name, key, present.key, now, present.ends), *crosses)
        made = Authority(_certificate(name, key, key, now, now + _LIFETIME), key, crosses)
        _write(data / NEXT, made)
        return made


def switch(data: Path, pin: str) -> None:
    """The next CA becomes the present one, if it is the one with this pin; the present one's key is gone then."""
    with _locked(data):
        if not (data / NEXT).exists() or pin_of(_read(data / NEXT, "Remove {name}.").certificate) != pin:
            return
        present = _read(data / PRESENT, _PAIR_ANEW).certificate
        before = [item for item in _read_old(data / OLD) if pin_of(item) != pin_of(present)]
        write_private(data / OLD, "".join(map(pem_of, [present, *before])).encode())
        # One rename is the change: a kill leaves all of it undone or all of it done.
        (data / NEXT).replace(data / PRESENT)
        _sync(data)


def pin_of(certificate: x509.Certificate) -> str:
    """`sha256:` and the SHA-256 of the SubjectPublicKeyInfo in lower-case hexadecimal."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(public).hexdigest()}"


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def write_private(path: Path, data: bytes) -> None:
    """Readable by this user alone, and either the old or the new file, whatever happens."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def damaged(path: Path, without: str = _PAIR_ANEW) -> InvalidInput:
    return InvalidInput(
        f"{path} is damaged.",
        reason="data-damaged",
        field_name="data",
        remedy=[
            f"Put {path.name} back from a backup: gateways trust exactly this console.",
            without.format(name=path.name),
        ],
    )


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """The console and `pcg console rotate-ca` may both be at it; the kernel lets go when a process ends."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    ends: datetime,
) -> x509.Certificate:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DATED_BACK)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        # Told by their keys alone, since their names are the same.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write(path: Path, authority: Authority) -> None:
    # Key and certificate are one file: they can only exist together.
    certificates = "".join(map(pem_of, [authority.certificate, *authority.crosses]))
    write_private(path, private_pem(authority.key) + certificates.encode())
    _sync(path.parent)


def _read(path: Path, without: str) -> Authority:
    content = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(content, None)
        certificate, *crosses = x509.load_pem_x509_certificates(content)
    except (ValueError, TypeError) as error:
        raise damaged(path, without) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise damaged(path, without)
    return Authority(certificate, key, tuple(crosses))


def _read_old(path: Path) -> list[x509.Certificate]:
    if not path.exists():
        return []
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        without = "Without one, remove {name}; an installer or gateway that knows an older CA alone is paired anew."
        raise damaged(path, without) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
