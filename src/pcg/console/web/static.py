"""Style and scripts of the package, under names that change with their content: browsers may keep them for ever.

Read once at the start: a request can only name what is here, never a path.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@cache
def _files() -> dict[str, bytes]:
    folder = resources.files("pcg.console.web").joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _KINDS}


@cache
def _digest() -> str:
    """One for all files, so that a script finds the next by its name alone."""
    whole = hashlib.sha256()
    for name, content in sorted(_files().items()):
        whole.update(f"{name} {len(content)} ".encode() + content)
    return whole.hexdigest()[:16]


def static_url(name: str) -> str:
    """For templates. Raises KeyError for a file that is not there: a page must not name one."""
    if name not in _files():
        raise KeyError(name)
    return f"/static/{_digest()}/{name}"


def router() -> APIRouter:
    routes = APIRouter()

    @routes.get("/static/{digest}/{name}")
    async def static_file(digest: str, name: str) -> Response:
        content = _files().get(name)
        if content is None:
            raise HTTPException(404, "There is no such file.")
        # An old page may ask for yesterday's digest: it gets today's file, which must not be kept under that name.
        kept = digest == _digest()
        return Response(
            content,
            media_type=_KINDS[name.rpartition(".")[2]],
            headers={"Cache-Control": "public, max-age=31536000, immutable" if kept else "no-store"},
        )

    return routes
