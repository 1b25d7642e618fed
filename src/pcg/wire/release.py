"""The release manifest: what a gateway needs beside its own program. Body of `GET /gateway/v1/release`.

The document is signed as text by the console's identity key, so that whoever opens TLS on the way, or holds the
artifacts for the console, can change neither the list nor a file on it.
"""

from __future__ import annotations

from pydantic import Field

from pcg.model.records import Record

MAXIMUM_ARTIFACTS = 64
MAXIMUM_ARTIFACT_BYTES = 64 << 30

JET_MANIFEST = "jet-manifest.yaml"
"""the artifact that the gateway's nodes start jet from"""


class Artifact(Record):
    name: str = Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")
    url: str = Field(max_length=2048)
    """`https://…`, or a path of the console itself"""
    size: int = Field(ge=0, le=MAXIMUM_ARTIFACT_BYTES)
    """bytes"""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Release(Record):
    console_id: str = Field(max_length=64)
    version: str = Field(max_length=64)
    """of the console's software"""
    artifacts: list[Artifact] = Field(max_length=MAXIMUM_ARTIFACTS)


class SignedRelease(Record):
    document: str = Field(max_length=128 * 1024)
    """a Release as JSON text"""
    signature: str = Field(max_length=128)
    """over that text, with the label `pcg release v1`"""
