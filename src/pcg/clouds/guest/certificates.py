"""What kubeadm signs with the cluster's CA: serving and client certificates; and reading those of others."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_FOR = timedelta(days=365)
"""kubeadm's"""
DATED_BACK = timedelta(days=1)


@dataclass(frozen=True)
class Peer:
    """Whom a client certificate names. `organizations` are Kubernetes' groups."""

    name: str
    organizations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Authority:
    """The cluster's CA as the node was given it. Raises ValueError when certificate and key do not belong together."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @classmethod
    def load(cls, certificate_pem: str, key_pem: str) -> Authority:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        if key.public_key() != certificate.public_key():
            raise ValueError("the private key does not belong to the certificate")
        return cls(certificate, key)  # type: ignore[arg-type]  # a CA's key can sign

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def serving(self, names: Sequence[str], addresses: Sequence[str], now: datetime) -> tuple[str, str]:
        """Certificate and key as PEM."""
        others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        others += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._sign(
            Peer("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, now, x509.SubjectAlternativeName(others)
        )

    def client(self, peer: Peer, now: datetime) -> tuple[str, str]:
        return self._sign(peer, ExtendedKeyUsageOID.CLIENT_AUTH, now, None)

    def _sign(
        self, peer: Peer, usage: x509.ObjectIdentifier, now: datetime, names: x509.SubjectAlternativeName | None
    ) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in peer.organizations]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, peer.name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DATED_BACK)
            .not_valid_after(now + VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_issuer(self.certificate), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return (
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
        )


def public_key_hash(certificate_pem: str) -> str:
    """kubeadm's `caCertHashes`: `sha256:` and the digest of the SubjectPublicKeyInfo."""
    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(info).hexdigest()


def peer_of(certificate_der: bytes) -> Peer:
    """Whom a certificate names whose chain the TLS library has verified."""
    return _peer(x509.load_der_x509_certificate(certificate_der))


def verified_peer(certificate_pem: str, ca_pem: str) -> Peer | None:
    """Whom the certificate names, or None when that CA did not sign it: what TLS does where there is no socket."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem.encode()))
    except (ValueError, TypeError, InvalidSignature):
        return None
    return _peer(certificate)


def _issuer(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        named = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _peer(certificate: x509.Certificate) -> Peer:
    def values(kind: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(kind))

    return Peer(next(iter(values(NameOID.COMMON_NAME)), ""), values(NameOID.ORGANIZATION_NAME))
