"""Sealed boxes (X25519, libsodium's `crypto_box_seal`): whoever edits may seal, only the gateway opens.

Credentials are sealed together with address, trust and the gateway's id, and are good for exactly these.
"""

from __future__ import annotations

import base64
import re

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from pydantic import Field, ValidationError

from pcg.errors import InvalidInput
from pcg.model.configuration import Vcenter
from pcg.model.records import Record
from pcg.sealing import encoding

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]{1,512}=*")
"""of RFC 6750, 2.1; credentials are JSON and never look like one"""


class Credentials(Record):
    """What is inside the box. `purpose` keeps other sealed texts from being taken for credentials."""

    purpose: str = "pcg credentials v1"
    gateway_id: str
    address: str
    thumbprint: str | None = None
    ca: str | None = None
    username: str
    password: str = Field(repr=False)

    def fits(self, gateway_id: str, vcenter: Vcenter) -> bool:
        """Whether these may be used for that configuration: id, address, trust and account are all the same."""
        return (self.gateway_id, self.address, self.thumbprint, self.ca, self.username) == (
            gateway_id,
            vcenter.address,
            vcenter.trust.thumbprint,
            vcenter.trust.ca,
            vcenter.username,
        )


def seal_credentials(public_sealing: str, gateway_id: str, vcenter: Vcenter, password: str) -> str:
    """Base64 ciphertext for `SealedCredentials`."""
    inside = Credentials(
        gateway_id=gateway_id,
        address=vcenter.address,
        thumbprint=vcenter.trust.thumbprint,
        ca=vcenter.trust.ca,
        username=vcenter.username,
        password=password,
    )
    return seal(public_sealing, inside.model_dump_json().encode())


def open_credentials(key: PrivateKey, ciphertext: str) -> Credentials:
    """Raises InvalidInput (reason `credentials-unreadable`) when the box was not sealed to this key."""
    try:
        # Not by `json`: whoever knows the public key seals what they like, and deep nesting would trip it.
        credentials = Credentials.model_validate_json(_opened(key, ciphertext))
    except ValidationError:
        raise _unreadable() from None
    if credentials.purpose != Credentials.model_fields["purpose"].default:
        raise _unreadable()
    return credentials


def seal(public_sealing: str, data: bytes) -> str:
    box = SealedBox(PublicKey(encoding.decode(public_sealing, 32)))
    return base64.b64encode(box.encrypt(data)).decode()


def open_sealed(key: PrivateKey, ciphertext: str) -> bytes:
    """Jet's token, and nothing else: a token leaves the gateway, so a console that calls somebody's credentials a token
    must not have them opened and sent to it. Raises InvalidInput (reason `credentials-unreadable`).
    """
    token = _opened(key, ciphertext)
    if not _TOKEN.fullmatch(token):
        raise _unreadable()
    return token


def _opened(key: PrivateKey, ciphertext: str) -> bytes:
    try:
        return SealedBox(key).decrypt(base64.b64decode(ciphertext, validate=True))
    except (CryptoError, ValueError):
        raise _unreadable() from None


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "The sealed credentials cannot be opened with this gateway's key.",
        reason="credentials-unreadable",
        remedy=["Enter the credentials again: they are sealed to the gateway's present key."],
    )
