"""A CA that issues a certificate for any host: what a box that opens TLS has.

For `forward_proxy`, and for `tls_terminator`, which also lets one in whom clients trust issue what they must refuse.
"""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pcg.errors import InvalidInput

_LIFETIME = timedelta(days=30)
USUAL = -timedelta(days=1)
"""from now on: since when a certificate is valid"""


class Authority:
    """Keys live in memory, but for the moment in which the ssl module reads them from `folder`."""

    def __init__(self, folder: Path, name: str = "Edge Inspection CA") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[tuple[str, timedelta], ssl.SSLContext] = {}
        self._above = b""
        """what is served beside the server's own certificate"""
        certificate = self._build(self._name, self._key.public_key(), USUAL).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    @classmethod
    def of_file(cls, folder: Path, file: Path) -> Authority:
        """The one whose key and certificate are in `file` as PEM. Its servers show its certificate too, as the
        console's do. Raises InvalidInput.
        """
        made = cls(folder)
        try:
            content = file.read_bytes()
            key = serialization.load_pem_private_key(content, None)
            certificate = x509.load_pem_x509_certificate(content)
            if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
                raise ValueError("its key is not that of its certificate")
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(
                f"{file} cannot be used as a CA: {error}.",
                reason="edge-ca",
                field_name="edge-ca",
                remedy=["Give a file with a CA's key and certificate in PEM, as the console keeps in its ca.pem."],
            ) from error
        made._key, made._name = key, certificate.subject
        made._above = certificate.public_bytes(serialization.Encoding.PEM)
        made.pem = made._above.decode()
        return made

    def server_context(self, host: str, since: timedelta = USUAL) -> ssl.SSLContext:
        """A server's context with a certificate for `host`, a name or an address; made once for the same."""
        if (host, since) not in self._contexts:
            self._contexts[host, since] = self._make(host, since)
        return self._contexts[host, since]

    def _make(self, host: str, since: timedelta) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        certificate = (
            self._build(subject, key.public_key(), since)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        file = self._folder / f"{len(self._contexts)}.pem"
        file.touch(mode=0o600)
        try:
            signed = certificate.sign(self._key, hashes.SHA256())
            file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + self._above + private)
            context.load_cert_chain(file)
        finally:
            file.unlink()
        return context

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, since: timedelta) -> x509.CertificateBuilder:
        begin = datetime.now(UTC) + since
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + _LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
