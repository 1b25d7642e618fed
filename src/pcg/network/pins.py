"""Pins of a CA: how a person's 64 digits decide which certificate is trusted. Used by the installer and bootstrap."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pcg.errors import InvalidInput
from pcg.network.trust import ca_unreadable

_PIN = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$", re.IGNORECASE)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def parse_pin(typed: str) -> str:
    """`sha256:` and 64 lower-case hex digits. Raises InvalidInput (reason `ca-pin-invalid`)."""
    match = _PIN.match(typed.strip())
    if match is None:
        raise InvalidInput(
            "The CA pin is wrong: it is `sha256:` and 64 hexadecimal digits.",
            reason="ca-pin-invalid",
            field_name="ca-pin",
            evidence=[f"typed: {typed[:100]!r}"],
            remedy=["Copy the pin from the console's page or from `pcg gateway create`."],
        )
    return f"sha256:{match[1].lower()}"


def spki_pin(pem: str) -> str:
    """The pin of the first certificate in `pem`: SHA-256 of its SubjectPublicKeyInfo (RFC 7469, in hex)."""
    return _pin(_certificates(pem)[0])


def spki_pins(pem: str) -> list[str]:
    """The pins of all certificates in `pem`, in their order."""
    return [_pin(certificate) for certificate in _certificates(pem)]


def pinned_certificate(pem: str, pin: str) -> str | None:
    """PEM of the one certificate in `pem` whose pin is `pin`; None when there is none.

    Only that certificate may be trusted afterwards: what else came along was never compared with anything.
    """
    for certificate in _certificates(pem):
        if _pin(certificate) == pin:
            return certificate.public_bytes(Encoding.PEM).decode()
    return None


def ends_of(pem: str) -> list[datetime]:
    """When each certificate in `pem` ends, in their order; UTC."""
    return [certificate.not_valid_after_utc for certificate in _certificates(pem)]


def _pin(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        found = [x509.load_pem_x509_certificate(match[0].encode()) for match in _CERTIFICATE.finditer(pem)]
    except ValueError as error:
        raise ca_unreadable(str(error)) from error
    if not found:
        raise ca_unreadable("no certificate was found in it")
    return found
