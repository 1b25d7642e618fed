"""The installer's own page as an ASGI application: routes, errors as pages, and what surrounds them.

Built by `server.py`, and by tests without a socket.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pcg.errors import Busy, NotFound, PcgError, Refused
from pcg.gateway.monitor import static
from pcg.gateway.monitor.pages import Site
from pcg.gateway.monitor.safety import Surrounded
from pcg.gateway.monitor.sign_in import COOKIE
from pcg.gateway.monitor.templating import page

_STATUS = {NotFound: 404, Refused: 403, Busy: 503}


def application(site: Site, names: tuple[str, ...] = ()) -> ASGIApp:
    def show(request: Request, error: PcgError, status: int) -> Response:
        session = site.sign_in.session(request.cookies.get(COOKIE, ""))
        return page(request, session, "error.html", status_code=status, error=error)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, PcgError)
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        answer = show(request, error, status)
        if isinstance(error, Busy) and error.after:
            answer.headers["Retry-After"] = str(int(error.after) + 1)
        return answer

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return show(
            request, PcgError("There is no such page." if error.status_code == 404 else error.detail), error.status_code
        )

    return Surrounded(
        Starlette(routes=[*site.routes(), static.ROUTE], exception_handlers={PcgError: ours, HTTPException: http}),
        names,
    )
