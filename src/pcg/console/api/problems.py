"""Every error as problem details (RFC 9457): our own errors, wrong requests, a store that is away, and bugs.

Registered by `console/app.py`; the gateway's side uses the same shape.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from pcg.errors import (
    Busy,
    Conflict,
    CredentialsRejected,
    InvalidInput,
    NotFound,
    PcgError,
    PermissionMissing,
    ProtocolError,
    Refused,
    TryAgain,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_BY_REASON = {"not-signed-in": 401, "changed-meanwhile": 412, "not-yaml": 400, "not-json": 400, "body-too-large": 413}
_BY_KIND: tuple[tuple[type[PcgError], int], ...] = (
    (InvalidInput, 422),
    (CredentialsRejected, 401),
    (PermissionMissing, 403),
    (Refused, 403),
    (NotFound, 404),
    (Conflict, 409),
    (ProtocolError, 502),
    (Busy, 503),
    (TryAgain, 503),
)


class ProblemView(BaseModel):
    """One error: what happened, why, what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str
    """a stable word for programs"""
    field: str | None = None
    """the field that is wrong, as it was written"""
    evidence: list[str] = Field(default_factory=list)
    cause: str = ""
    remedy: list[str] = Field(default_factory=list)
    link: str = ""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: which errors it answers, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/ProblemView"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def problem_of(error: PcgError) -> Response:
    """The answer for one of our own errors."""
    status = _BY_REASON.get(error.reason) or next(
        (status for kind, status in _BY_KIND if isinstance(error, kind)), HTTPStatus.CONFLICT
    )
    field = error.field_name if isinstance(error, InvalidInput) else error.fields.get("field")
    headers = {}
    if isinstance(error, TryAgain) and error.after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.after)))
    return _answer(
        ProblemView(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=error.what,
            reason=error.reason,
            field=field or None,
            evidence=error.evidence,
            cause=error.cause,
            remedy=error.remedy,
            link=error.link,
        ),
        headers,
    )


def register_problems(app: FastAPI) -> None:
    app.add_exception_handler(PcgError, _ours)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(DBAPIError, _store_away)
    app.add_exception_handler(PoolTimeout, _store_away)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(Exception, _bug)


def _answer(problem: ProblemView, headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="pcg console"'
    return JSONResponse(problem.model_dump(exclude_none=True), problem.status, headers=headers, media_type=MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PcgError)
    return problem_of(error)


async def _wrong_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    broken = any(item["type"] == "json_invalid" for item in error.errors())
    # Where JSON breaks, the place is a count of characters and no field.
    found = [("body" if broken else _place(item["loc"]), str(item["msg"])) for item in error.errors()]
    status = HTTPStatus.BAD_REQUEST if broken else HTTPStatus.UNPROCESSABLE_ENTITY
    return _answer(
        ProblemView(
            title=status.phrase,
            status=status,
            detail="The body is not JSON." if broken else f"{found[0][0]}: {found[0][1]}",
            reason="not-json" if broken else "request-invalid",
            field=found[0][0],
            evidence=[f"{place}: {message}" for place, message in found[:20]],
            remedy=["Correct the fields named; /api/openapi.json describes them."],
        )
    )


async def _of_the_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reasons = {400: "body-invalid", 404: "path-unknown", 405: "method-not-allowed", 413: "body-too-large"}
    return _answer(
        ProblemView(
            title=HTTPStatus(error.status_code).phrase,
            status=error.status_code,
            detail=str(error.detail),
            reason=reasons.get(error.status_code, "request-refused"),
            # Text that is no UTF-8, a form without a boundary: nothing else is refused with this before a route.
            field="body" if error.status_code == HTTPStatus.BAD_REQUEST else None,
        ),
        dict(error.headers or {}),
    )


async def _store_away(request: Request, error: Exception) -> Response:
    _log.error("the store did not answer %r %r", request.method, request.url.path, exc_info=error)
    return _answer(
        ProblemView(
            title=HTTPStatus.SERVICE_UNAVAILABLE.phrase,
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            detail="The console's store does not answer now.",
            reason="store-unavailable",
            remedy=["Try again in a moment; if it stays so, look at the console's log and the disk's free space."],
        ),
        {"Retry-After": "5"},
    )


async def _client_gone(request: Request, error: Exception) -> Response:
    # Nobody hears it. But it is no bug of ours: anybody could fill the log with its traceback.
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _bug(request: Request, error: Exception) -> Response:
    # What went wrong stands in the log only (written by the server): an answer must not tell of our insides.
    return _answer(
        ProblemView(
            title=HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
            status=HTTPStatus.INTERNAL_SERVER_ERROR,
            detail="The console failed at this request.",
            reason="internal-error",
            remedy=["Look at the console's log at this time and report it."],
        )
    )


def _place(location: tuple[int | str, ...]) -> str:
    """`body.nodes.count` as the caller wrote it: without the part of the request, unless that is wrong as a whole."""
    parts = [str(part) for part in location]
    return ".".join(parts[1:] if len(parts) > 1 and parts[0] in ("body", "query", "path", "header") else parts)
