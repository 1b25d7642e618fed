"""Kubernetes' `Status` objects: how the API says no. Raised by the store and by authentication, answered by the app."""

from __future__ import annotations

from typing import Any


class StatusError(Exception):
    """`reason` is Kubernetes' own word for it."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def document(self) -> dict[str, Any]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def not_found(resource: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', {"name": name, "kind": resource})


def already_exists(resource: str, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists', {"name": name, "kind": resource})


def conflict(resource: str, name: str) -> StatusError:
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        {"name": name, "kind": resource},
    )


def invalid(kind: str, name: str, why: str) -> StatusError:
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {why}', {"name": name, "kind": kind})


def bad_request(why: str) -> StatusError:
    return StatusError(400, "BadRequest", why)


def etcd_unavailable() -> StatusError:
    """What a write or a consistent read answers while etcd has no leader."""
    return StatusError(500, "InternalError", "etcdserver: no leader")
