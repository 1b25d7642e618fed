"""Unpadded base64url, the one encoding of keys, nonces and signatures on the wire."""

from __future__ import annotations

import base64
import binascii

from pcg.errors import ProtocolError


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str, length: int | None = None) -> bytes:
    """Raises ProtocolError when the text is not base64url or not `length` bytes long."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("A value is not base64url.", reason="protocol") from None
    if length is not None and len(data) != length:
        raise ProtocolError(f"A value has {len(data)} bytes instead of {length}.", reason="protocol")
    return data
