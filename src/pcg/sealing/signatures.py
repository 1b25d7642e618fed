"""What is signed, and how it is laid out: a label, then every part with its length, so that no two texts collide.

Used by both sides of registration and of the session; docs/protocol.md names the labels.
"""

from __future__ import annotations

import secrets

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from pcg.errors import ProtocolError
from pcg.sealing import encoding

REGISTER = "pcg register v1"
SESSION_CONSOLE = "pcg session console v1"
SESSION_GATEWAY = "pcg session gateway v1"
RELEASE = "pcg release v1"


def new_nonce() -> str:
    return encoding.encode(secrets.token_bytes(32))


def sign(key: SigningKey, label: str, *parts: str) -> str:
    return encoding.encode(key.sign(_text(label, parts)).signature)


def verify(public_key: str, signature: str, label: str, *parts: str) -> bool:
    """False for a wrong signature and for anything malformed."""
    try:
        key = VerifyKey(encoding.decode(public_key, 32))
        key.verify(_text(label, parts), encoding.decode(signature, 64))
    except (BadSignatureError, ProtocolError):
        return False
    return True


def registration_parts(
    pairing_key: str, signing_key: str, sealing_key: str, console_id: str, identity_key: str, nonce: str
) -> tuple[str, ...]:
    """Signed by the code's key and by the gateway's own, with label REGISTER."""
    return (pairing_key, signing_key, sealing_key, console_id, identity_key, nonce)


def session_parts(
    version: int, gateway_id: str, console_id: str, gateway_nonce: str, console_nonce: str
) -> tuple[str, ...]:
    """Signed by the console with SESSION_CONSOLE, by the gateway with SESSION_GATEWAY."""
    return (str(version), gateway_id, console_id, gateway_nonce, console_nonce)


def _text(label: str, parts: tuple[str, ...]) -> bytes:
    encoded = [part.encode() for part in (label, *parts)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
