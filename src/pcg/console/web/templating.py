"""Jinja2 with escaping always on, and the words that pages show. Used by every route of the pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import jinja2
from fastapi import Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from pcg.console.auth import CSRF_FIELD
from pcg.console.web.static import static_url
from pcg.console.web.visitor import Visitor

FINGERPRINT = re.compile("([0-9A-F]{2}:){31}[0-9A-F]{2}")

_TONES = {
    "awaiting-registration": "calm", "pending": "calm", "provisioning": "busy", "running": "good", "deleting": "busy",
    "waiting": "calm", "done": "good", "failed": "bad", "blocked": "bad",
    "creating": "busy", "starting": "busy", "booting": "busy", "ready": "good", "lost": "bad",
    "info": "calm", "warning": "warn", "error": "bad",
    "disconnected": "warn", "stalled": "warn", "cleaning-up": "busy", "credentials-needed": "warn",
    "superseded": "calm", "cluster-lost": "bad", "upgrade-required": "warn", "registration-overdue": "warn",
    "console-restored": "warn",
    "asked": "busy", "collecting": "busy", "receiving": "busy", "analysing": "busy",
}  # fmt: skip


def words(value: Enum | str) -> str:
    """`awaiting-registration` as pages write it: Awaiting Registration."""
    text = str(value.value) if isinstance(value, Enum) else value
    return " ".join(word[:1].upper() + word[1:] for word in text.replace("-", " ").split())


def moment(value: datetime | None) -> Markup:
    """UTC for whoever compares with logs; the script adds the reader's own time as a tooltip."""
    if value is None:
        return Markup("")
    try:
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        # A gateway's clock may stand at an end of the calendar, where UTC has no such moment.
        value = value.replace(tzinfo=UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        value.isoformat(timespec="milliseconds"), value.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def size(value: int) -> str:
    """Bytes for a person."""
    for unit, step in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value} bytes"


def tone(value: Enum | str) -> str:
    """Which of the few colours; the word always stands beside it."""
    return _TONES.get(str(value.value) if isinstance(value, Enum) else value, "calm")


def safe_link(value: str) -> bool:
    """Links come from gateways too: only the web's own schemes lead anywhere."""
    return value.startswith(("https://", "http://"))


def is_fingerprint(value: str) -> bool:
    """SHA-256 as a driver writes it. It comes from a gateway too, and leads to a page that a person is to act on."""
    return FINGERPRINT.fullmatch(value) is not None


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pcg.console.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(words=words, moment=moment, duration=duration, tone=tone, safe_link=safe_link)
    environment.filters.update(bytes=size)
    environment.filters.update(is_fingerprint=is_fingerprint)
    environment.globals.update(static_url=static_url, csrf_field=CSRF_FIELD)
    return environment


_JINJA = _environment()


def page(
    request: Request, visitor: Visitor | None, template: str, *, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """One page. `visitor` is None where nobody is signed in."""
    text = _JINJA.get_template(template).render(visitor=visitor, path=request.url.path, **values)
    return HTMLResponse(text, status_code)
