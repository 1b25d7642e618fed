"""Errors as pages, for browsers: the same what, evidence, cause and remedy that the API answers as problem details.

Called once by `console/app.py`, after `register_problems`. Who asks outside `/api` and takes HTML gets the page; who is
not signed in gets the sign-in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.api.problems import MEDIA_TYPE, ProblemView
from pcg.console.safety import CONTENT_SECURITY_POLICY
from pcg.console.web.templating import page
from pcg.console.web.visitor import Visitor, visitor_of
from pcg.errors import PcgError

_Handler = Callable[[Request, Any], Response | Awaitable[Response]]


def register_error_pages(app: FastAPI) -> None:
    """Puts a page round every handler of errors that is there already."""
    for kind, handler in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(handler))


def _as_page(handler: _Handler) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        given = handler(request, error)
        plain = given if isinstance(given, Response) else await given
        if not _wants_page(request) or plain.headers.get("content-type") != MEDIA_TYPE:
            return plain
        problem = ProblemView.model_validate_json(bytes(plain.body))
        if problem.reason == "not-signed-in":
            return _sign_in_with_return(request)
        if problem.reason in ("path-unknown", "method-not-allowed"):
            problem.detail = "There is no such page."
            problem.remedy = ["Look at the address again, or begin at the list of gateways."]
        shown = _error_page(request, await _visitor(request, problem), problem)
        if "retry-after" in plain.headers:
            shown.headers["Retry-After"] = plain.headers["retry-after"]
        return shown

    return answer


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, visitor: Visitor | None, problem: ProblemView) -> Response:
    answer = page(request, visitor, "error.html", status_code=problem.status, problem=problem)
    # The handler of bugs answers from outside the middleware that would set it.
    answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return answer


def _sign_in_with_return(request: Request) -> Response:
    """Back to the page after the sign-in; what a form had asked for is not repeated."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = "" if request.method != "GET" or path == "/" else f"?next={quote(path, safe='/')}"
    return RedirectResponse(f"/sign-in{wanted}", 303)


async def _visitor(request: Request, problem: ProblemView) -> Visitor | None:
    """For the page's head; where the store itself may be the trouble nobody asks it again."""
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    try:
        return await visitor_of(request, request.app.state.service)
    except PcgError:
        return None
