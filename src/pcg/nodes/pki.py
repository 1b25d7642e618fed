"""A cluster's secrets, derived instead of drawn: the same seed, gateway and incarnation give the same keys.

So nothing has to be stored before a machine is made, and a gateway that was killed or restored from an older disk still
holds the keys of its cluster (docs/decisions/0002). As Cluster API does it, the CA is made outside and given to the
nodes. Used by `cloud_config.py` and by the gateway's Kubernetes client.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = timedelta(days=3650)
"""kubeadm's own choice for a CA: ten years"""

CA_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""the CA's fixed beginning: a certificate made again must be the same, whatever the clock says"""

ADMIN_LIFETIME = timedelta(hours=8)
"""of a client certificate for a person"""

OWN_LIFETIME = timedelta(hours=48)
"""of the gateway's own, which never leaves its memory: good also when its clock is a day behind the nodes'"""

RENEW_OWN_SECONDS = 20 * 3600.0
"""after which the gateway makes another, in monotonic time: its clock may be wrong, or jump"""

TOKEN_LIFETIME = timedelta(hours=1)
"""of a bootstrap token; it is deleted as soon as its machine has joined"""

_TOKEN_ALPHABET = string.digits + string.ascii_lowercase
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class ClusterSecrets:
    """Of one incarnation of one gateway's cluster. PEM texts."""

    ca_certificate: str
    ca_key: str = field(repr=False)
    etcd_ca_certificate: str
    etcd_ca_key: str = field(repr=False)
    front_proxy_ca_certificate: str
    front_proxy_ca_key: str = field(repr=False)
    service_account_key: str = field(repr=False)
    token_key: bytes = field(repr=False)
    """from which each machine's bootstrap token follows"""

    def bootstrap_token(self, ordinal: int) -> str:
        """The token with which the machine of this number joins, and no other: it is deleted once that has joined."""
        drawn = HKDF(hashes.SHA256(), length=22, salt=b"pcg cluster", info=f"bootstrap token {ordinal}".encode())
        letters = "".join(_TOKEN_ALPHABET[value % len(_TOKEN_ALPHABET)] for value in drawn.derive(self.token_key))
        return f"{letters[:6]}.{letters[6:]}"

    @property
    def service_account_public_key(self) -> str:
        public = _load(self.service_account_key).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return public.public_bytes(serialization.Encoding.PEM, form).decode()

    @property
    def ca_hash(self) -> str:
        """For kubeadm's caCertHashes: SHA-256 of the CA's SubjectPublicKeyInfo."""
        public = _load(self.ca_key).public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"sha256:{hashlib.sha256(der).hexdigest()}"


@dataclass(frozen=True)
class ClientCertificate:
    certificate: str
    key: str = field(repr=False)
    not_after: datetime


def cluster_secrets(seed: bytes, gateway_id: str, incarnation: int) -> ClusterSecrets:
    """`seed` is `GatewayKeys.cluster_seed`."""

    def derive(what: str, length: int) -> bytes:
        info = f"pcg cluster {what} v1 {gateway_id} {incarnation}".encode()
        return HKDF(hashes.SHA256(), length=length, salt=b"pcg cluster", info=info).derive(seed)

    def authority(what: str, name: str) -> tuple[str, str]:
        key = _key(derive(what, 48))
        return _ca(key, derive(f"{what} serial", 16), name), _pem(key)

    ca_certificate, ca_key = authority("ca", "kubernetes")
    etcd_certificate, etcd_key = authority("etcd ca", "etcd-ca")
    front_certificate, front_key = authority("front proxy ca", "front-proxy-ca")
    return ClusterSecrets(
        ca_certificate=ca_certificate,
        ca_key=ca_key,
        etcd_ca_certificate=etcd_certificate,
        etcd_ca_key=etcd_key,
        front_proxy_ca_certificate=front_certificate,
        front_proxy_ca_key=front_key,
        service_account_key=_pem(_key(derive("service account", 48))),
        token_key=derive("bootstrap tokens", 32),
    )


def client_certificate(
    secrets: ClusterSecrets, now: datetime, *, name: str = "pcg-gateway", lifetime: timedelta = ADMIN_LIFETIME
) -> ClientCertificate:
    """An administrator of the cluster (O=system:masters), dated a day back and good for `lifetime` from now on."""
    return _client(secrets.ca_certificate, secrets.ca_key, now, name, lifetime)


def etcd_client_certificate(secrets: ClusterSecrets, now: datetime) -> ClientCertificate:
    """For etcd's own API, which knows no groups: whoever its CA vouches for may do everything."""
    return _client(secrets.etcd_ca_certificate, secrets.etcd_ca_key, now, "pcg-gateway", ADMIN_LIFETIME)


def _client(ca: str, ca_key: str, now: datetime, name: str, lifetime: timedelta) -> ClientCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    not_after = now + lifetime
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    issuer = x509.load_pem_x509_certificate(ca.encode()).subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(_load(ca_key), hashes.SHA256())
    )
    return ClientCertificate(
        certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key), not_after.replace(microsecond=0)
    )


def _key(material: bytes) -> ec.EllipticCurvePrivateKey:
    """A P-256 key from 48 bytes: reduced modulo the order minus one, plus one (FIPS 186-5, A.2.1)."""
    return ec.derive_private_key(int.from_bytes(material, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def _ca(key: ec.EllipticCurvePrivateKey, serial: bytes, common_name: str) -> str:
    """The same bytes every time: the signature too (RFC 6979)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial, "big") >> 1)
        .not_valid_before(CA_EPOCH - timedelta(days=1))
        .not_valid_after(CA_EPOCH + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=True,
                key_cert_sign=True,
                crl_sign=False,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
