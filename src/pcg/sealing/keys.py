"""A gateway's own keys: one to sign, one to open what is sealed to it, and the seed of its clusters' secrets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import nacl.utils
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from pcg.sealing import encoding


@dataclass(frozen=True, repr=False)
class GatewayKeys:
    """Made once at an installer's first start and kept in its state directory (mode 0600)."""

    signing: SigningKey
    opening: PrivateKey
    cluster_seed: bytes
    """32 bytes; certificates and tokens of a cluster are derived from it, so a crash can lose none"""

    @classmethod
    def generate(cls) -> GatewayKeys:
        return cls(SigningKey.generate(), PrivateKey.generate(), nacl.utils.random(32))

    def to_json(self) -> dict[str, str]:
        return {
            "signing": encoding.encode(bytes(self.signing)),
            "opening": encoding.encode(bytes(self.opening)),
            "cluster-seed": encoding.encode(self.cluster_seed),
        }

    @classmethod
    def from_json(cls, document: dict[str, str]) -> GatewayKeys:
        """Raises KeyError or ProtocolError for a damaged file."""
        return cls(
            SigningKey(encoding.decode(document["signing"], 32)),
            PrivateKey(encoding.decode(document["opening"], 32)),
            encoding.decode(document["cluster-seed"], 32),
        )

    @property
    def public_signing(self) -> str:
        return encoding.encode(bytes(self.signing.verify_key))

    @property
    def public_sealing(self) -> str:
        return encoding.encode(bytes(self.opening.public_key))


def fingerprint(public_signing: str, public_sealing: str) -> str:
    """What page and installer both show, for a person to compare: five groups of four hex digits (80 bits)."""
    digest = hashlib.sha256(
        b"pcg fingerprint v1" + encoding.decode(public_signing, 32) + encoding.decode(public_sealing, 32)
    ).hexdigest()[:20]
    return " ".join(digest[start : start + 4] for start in range(0, 20, 4))
