"""What the console wants of a gateway, sent whole and by generation; sending it again is harmless."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, field_validator

from pcg.model.configuration import Configuration
from pcg.model.records import Record


class SealedCredentials(Record):
    """Ciphertext for the gateway's X25519 key; only the gateway opens it (see `sealing.boxes`)."""

    version: str = Field(max_length=64)
    """changes whenever a person enters credentials; a rejected version is not tried again"""
    ciphertext: str = Field(max_length=65536)
    """base64"""


class DesiredState(Record):
    """`generation` rises with every change, `incarnation` with every reset.

    mode `idle`: no machines wanted (after a reset, or before the first configuration); `run`: as configured;
    `delete`: none wanted, and the gateway itself ends afterwards.
    """

    generation: int
    incarnation: int
    mode: Literal["idle", "run", "delete"]
    configuration: Configuration | None = None
    vcenter_typed: str | None = Field(default=None, max_length=300)
    """vCenter's address as a person typed it, while it is one from which a scheme had to be taken off"""
    credentials: SealedCredentials | None = None
    jet_token: str | None = Field(default=None, max_length=4096)
    """sealed like credentials: jet's authorization token for this incarnation"""
    console_ca: str | None = Field(default=None, max_length=65536)
    """PEM of every CA that may prove the console from now on, the present one first; None: the one of the pairing"""

    @field_validator("configuration", mode="before")
    @classmethod
    def _known_parts(cls, value: Any) -> Any:
        """`Configuration` refuses unknown keys, because a person mistypes; a newer console may send some."""
        return _without_unknown(Configuration, value)


def _without_unknown(kind: Any, value: Any) -> Any:
    """`value` (as JSON) without the keys that the model within `kind` does not have, at every depth."""
    if isinstance(value, list):
        return [_without_unknown(kind, item) for item in value]
    model = _model_within(kind)
    if model is None or not isinstance(value, dict):
        return value
    fields = {name: field.annotation for name, field in model.model_fields.items()}
    fields |= {field.alias: field.annotation for field in model.model_fields.values() if field.alias}
    return {key: _without_unknown(fields[key], item) for key, item in value.items() if key in fields}


def _model_within(kind: Any) -> type[BaseModel] | None:
    """The model of `M`, `M | None`, `list[M]` and the like; no part of a configuration has two."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((model for part in get_args(kind) if (model := _model_within(part)) is not None), None)
