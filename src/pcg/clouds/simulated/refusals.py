"""What the data center answers when it does not do what was asked; the driver makes the contract's errors of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STATUS = {
    "not-authenticated": 401,
    "login-refused": 401,
    "no-permission": 403,
    "not-found": 404,
    "name-taken": 409,
    "instance-exists": 409,
    "wrong-instance": 409,
    "not-enough": 409,
    "gone": 410,
    "invalid": 422,
    "fetch-failed": 424,
    "fetch-interrupted": 424,
    "host-not-responding": 503,
}
"""HTTP status by kind"""


@dataclass
class Refusal(Exception):
    """`kind` is one of STATUS; `fields` name the objects concerned."""

    kind: str
    message: str
    fields: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def document(self) -> dict[str, Any]:
        return {"error": self.kind, "message": self.message, "fields": self.fields}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Refusal:
        return cls(document["error"], document["message"], dict(document.get("fields", {})))
