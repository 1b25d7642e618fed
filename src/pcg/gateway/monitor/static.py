"""The page's style and script. The style is the console's, read as a file of the same package: one look for both.

Read once at the start: a request can only name what is here, never a path.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pcg

_FILES = {
    "console.css": ("console/web/static/console.css", "text/css; charset=utf-8"),
    "icon.svg": ("console/web/static/icon.svg", "image/svg+xml"),
    "monitor.css": ("gateway/monitor/static/monitor.css", "text/css; charset=utf-8"),
    "monitor.js": ("gateway/monitor/static/monitor.js", "text/javascript; charset=utf-8"),
}


@cache
def _content(name: str) -> bytes:
    return resources.files("pcg").joinpath(_FILES[name][0]).read_bytes()


def static_url(name: str) -> str:
    """For templates. Raises KeyError for a file that is not there."""
    return f"/static/{name}?{_FILES[name] and pcg.__version__}"


async def _static_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return Response(_content(name), media_type=_FILES[name][1], headers={"Cache-Control": "max-age=300"})


ROUTE = Route("/static/{name}", _static_file)
