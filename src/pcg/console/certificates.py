"""What the console proves itself with: its server certificate and its identity key, made at the first start and kept in
the data folder beside the CA (`authorities.py`).

Gateways pin the CA (`--ca-pin`) and sign the identity key into their registration, so both must outlive everything
else: whoever moves a console takes these files along. Certificates are dated a day back, for clocks that lag.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nacl.signing import SigningKey

from pcg.console.authorities import (
    DATED_BACK,
    Authorities,
    damaged,
    key_usage,
    open_authorities,
    pem_of,
    pin_of,
    private_pem,
)
from pcg.console.authorities import write_private as write_private
from pcg.errors import InvalidInput, ProtocolError, SetupMissing
from pcg.sealing import encoding

_LEAF_LIFETIME = timedelta(days=397)
"""browsers refuse server certificates of more than 398 days"""
_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, repr=False)
class Certificates:
    """`chain` and `key` are files for the TLS server; `pin` is what installers compare."""

    ca_pem: str
    pin: str
    chain: Path
    key: Path
    console_id: str
    identity: SigningKey
    old_ca_pem: str = ""
    """certificates of the CAs before this one that have not ended: a pin of theirs is still good"""
    console_ca: str | None = None
    """what gateways are told to trust (see `DesiredState`); None: there has been one CA only"""

    @property
    def identity_key(self) -> str:
        """The public half, base64url."""
        return encoding.encode(bytes(self.identity.verify_key))


def open_certificates(
    data: Path,
    hosts: Collection[str],
    now: datetime,
    *,
    given: tuple[Path, Path] | None = None,
    public_ca: Path | None = None,
) -> Certificates:
    """Reads what is there and makes what is missing; renews the server certificate when it nears its end, or the CA or
    `hosts` changed. `given` is a chain and key of the operator's own: then the last certificate of the chain is the CA.
    `public_ca` is the CA of what stands before the console and does its TLS.

    Raises InvalidInput for files that cannot be used, SetupMissing for a folder that cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        console_id, identity = _identity(data / "identity.json")
        old, told = "", None
        if given is not None:
            ca = _given_authority(given[0])
            chain, key = given
        else:
            authorities = open_authorities(data, now)
            ca, old, told = authorities.present.certificate, "".join(map(pem_of, authorities.old)), _told(authorities)
            chain, key = data / "server.crt", data / "server.key"
            if not _still_good(chain, key, authorities, hosts, now):
                _make_leaf(chain, key, authorities, hosts, now)
        if public_ca is not None:
            ca, old, told = _public_authority(public_ca), "", None
    except OSError as error:
        raise SetupMissing(
            f"The console's data folder cannot be used: {error}.",
            reason="data-folder",
            remedy=[f"Make {data} a folder that this user may write."],
        ) from error
    return Certificates(pem_of(ca), pin_of(ca), chain, key, console_id, identity, old, told)


def _told(authorities: Authorities) -> str | None:
    """The present CA first; the next one beside it until it is the present one itself."""
    if authorities.next is None and not authorities.rotated:
        return None
    following = pem_of(authorities.next.certificate) if authorities.next else ""
    return pem_of(authorities.present.certificate) + following


def _identity(path: Path) -> tuple[str, SigningKey]:
    if not path.exists():
        key = SigningKey.generate()
        document = {"console-id": str(uuid.uuid4()), "identity-key": encoding.encode(bytes(key))}
        write_private(path, json.dumps(document).encode())
    try:
        document = json.loads(path.read_text())
        return str(document["console-id"]), SigningKey(encoding.decode(document["identity-key"], 32))
    except (ValueError, KeyError, TypeError, ProtocolError) as error:
        raise damaged(path) from error


def _make_leaf(chain: Path, key_path: Path, authorities: Authorities, hosts: Collection[str], now: datetime) -> None:
    key, authority = ec.generate_private_key(ec.SECP256R1()), authorities.present
    # Of a CA that has ended it proves nothing to anybody, but the console starts, and rotates it.
    ends = min(now + _LEAF_LIFETIME, authority.ends) if now < authority.ends else now + _LEAF_LIFETIME
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pcg console")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DATED_BACK)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    write_private(key_path, private_pem(key))
    write_private(chain, "".join(map(pem_of, [certificate, *_above(authorities, now)])).encode())


def _above(authorities: Authorities, now: datetime) -> list[x509.Certificate]:
    """What is sent along with the server's certificate: the way to the old CAs as long as there is one. Then not the
    CA itself: a client may take it for the issuer in place of its cross-signed twin, and find that it knows it not."""
    living = [item for item in authorities.present.crosses if now < item.not_valid_after_utc]
    return living or [authorities.present.certificate]


def _still_good(chain: Path, key: Path, authorities: Authorities, hosts: Collection[str], now: datetime) -> bool:
    """Whether the server certificate fits its key, the CA and the hosts, and lasts long enough."""
    authority = authorities.present
    try:
        leaf, *above = x509.load_pem_x509_certificates(chain.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        leaf.verify_directly_issued_by(authority.certificate)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return (
        private.public_key() == leaf.public_key()
        and above == _above(authorities, now)
        and set(names) == set(_names(hosts))
        # Not beyond its CA's end, where no renewal helps.
        and (now + _RENEW_BEFORE < leaf.not_valid_after_utc or leaf.not_valid_after_utc == authority.ends)
        and leaf.not_valid_before_utc <= now
    )


def _names(hosts: Collection[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in sorted(set(hosts)):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host.encode("idna").decode() if not host.isascii() else host))
    return names


def _given_authority(chain: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(chain.read_bytes())[-1]
    except (ValueError, IndexError) as error:
        raise InvalidInput(
            f"{chain} holds no certificate in PEM.",
            reason="tls-files",
            field_name="tls-cert",
            remedy=["The file holds the server's certificate first, its CA last, each in PEM."],
        ) from error


def _public_authority(file: Path) -> x509.Certificate:
    """Only a root can be trusted alone; clients would refuse anything else."""
    why = "it is not marked as a CA"
    try:
        ca = x509.load_pem_x509_certificates(file.read_bytes())[-1]
        ca.verify_directly_issued_by(ca)
        if ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return ca
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature) as error:
        why = f"{type(error).__name__}: {error}".rstrip(": ")
    raise InvalidInput(
        f"{file} does not end with a CA that is its own issuer.",
        reason="tls-files",
        field_name="public-ca",
        evidence=[why],
        remedy=["Give the root CA, in PEM, of the certificate that is served at the public URL."],
    )
