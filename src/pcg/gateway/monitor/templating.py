"""Jinja2 with escaping always on, and the words that the installer's own page shows. Used by `pages.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

import pcg
from pcg.gateway.monitor.sign_in import CSRF_FIELD, Session
from pcg.gateway.monitor.static import static_url

_TONES = {
    "waiting": "calm", "running": "busy", "done": "good", "failed": "bad", "blocked": "bad",
    "does-not-answer": "bad", "not-running": "bad", "never-started": "warn", "cannot-tell": "warn",
    "well": "good", "found": "bad", "info": "calm", "warning": "warn", "error": "bad",
    "creating": "busy", "starting": "busy", "booting": "busy", "ready": "good", "lost": "bad", "deleting": "busy",
}  # fmt: skip


def words(value: Enum | str) -> str:
    text = str(value.value) if isinstance(value, Enum) else value
    return text.replace("-", " ").capitalize()


def tone(value: Enum | str) -> str:
    """Which of the few colours; the word always stands beside it."""
    return _TONES.get(str(value.value) if isinstance(value, Enum) else value, "calm")


def moment(value: datetime | None) -> Markup:
    """UTC, as in the logs."""
    if value is None:
        return Markup("")
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        value.isoformat(timespec="milliseconds"), value.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def size(value: int | None) -> str:
    if value is None:
        return ""
    return (
        f"{value} B"
        if value < 1024
        else f"{value / 1024:.0f} KiB"
        if value < 1 << 20
        else f"{value / (1 << 20):.1f} MiB"
    )


def safe_link(value: str) -> bool:
    return value.startswith(("https://", "http://"))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pcg.gateway.monitor"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(words=words, tone=tone, moment=moment, size=size, safe_link=safe_link)
    environment.globals.update(static_url=static_url, csrf_field=CSRF_FIELD, version=pcg.__version__)
    return environment


_JINJA = _environment()


def page(
    request: Request, session: Session | None, template: str, *, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """`session` is None where nobody is signed in."""
    text = _JINJA.get_template(template).render(session=session, path=request.url.path, **values)
    return HTMLResponse(text, status_code)
