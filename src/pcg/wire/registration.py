"""Registration over HTTPS: bodies of `GET /gateway/v1/identity` and `POST /gateway/v1/register`.

Keys, nonces and signatures are unpadded base64url.
"""

from __future__ import annotations

from pydantic import Field

from pcg.model.records import Record


class ConsoleIdentity(Record):
    console_id: str = Field(max_length=64)
    identity_key: str = Field(max_length=64)
    """Ed25519 public key"""
    nonce: str = Field(max_length=128)
    """to be signed by the registration; good for ten minutes"""


class RegistrationRequest(Record):
    """`pairing_signature` is made with the key derived from the code, `possession_signature` with the gateway's own."""

    pairing_key: str = Field(max_length=64)
    signing_key: str = Field(max_length=64)
    sealing_key: str = Field(max_length=64)
    nonce: str = Field(max_length=128)
    pairing_signature: str = Field(max_length=128)
    possession_signature: str = Field(max_length=128)
    installer_name: str = Field(default="", max_length=253)
    software: str = Field(default="", max_length=64)
    versions: tuple[int, int] = (1, 1)


class RegistrationAnswer(Record):
    gateway_id: str = Field(max_length=64)
    gateway_name: str = Field(max_length=253)
    console_id: str = Field(max_length=64)


class JetRegistration(Record):
    """Body of `POST /gateway/v1/jet`, sent with `Authorization: Bearer TOKEN`, again at every heartbeat."""

    node: str = Field(default="", max_length=253)
    instance: str = Field(default="", max_length=64)
    """new at every start of a jet"""
    place: str = Field(default="cluster", pattern=r"^(installer|cluster)$")


class JetAnswer(Record):
    gateway_id: str = Field(max_length=64)
    heartbeat_seconds: float = 20.0
