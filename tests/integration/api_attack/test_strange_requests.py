"""Every route, also those outside the description, asked as nobody asks: it refuses, never fails, and tells nothing of
its insides. Streams refuse before they begin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from pcg.console.auth import CSRF_HEADER, SESSION_COOKIE, csrf_token

from .actors import target_of
from .authorisation_table import TABLE, Row
from .raw import Headers, Raw, ask
from .strange import BODIES, CONTENT_TYPES, HEADERS, PARTS, QUERIES, SECRET_WORDS
from .world import BASE, World

pytestmark = pytest.mark.shared

ROWS = [row for row in TABLE if row.method != "WEBSOCKET"]
WITH_BODY = [row for row in ROWS if row.method in ("POST", "PUT", "DELETE")]
STREAMS = ["/api/v1/gateways/{id}/events", "/gateways/{id}/news", "/news"]


async def test_strange_bodies(world: World) -> None:
    failures: list[str] = []
    for row in WITH_BODY:
        asking = Asking(world, row)
        for number, (what, body) in enumerate(BODIES.items()):
            for kind in dict.fromkeys((CONTENT_TYPES[0], CONTENT_TYPES[number % len(CONTENT_TYPES)])):
                answer = await asking.ask(target_of(world, row), [(b"content-type", kind)], body)
                failures += _failures(row, f"{what} as {kind[:30]!r}", answer)
    assert not failures, "\n".join(failures)


async def test_strange_fields_of_forms(world: World) -> None:
    """Past the CSRF token, where forms are read."""
    failures: list[str] = []
    for row in WITH_BODY:
        if row.form is None:
            continue
        session = (await world.session("admin")).token
        cookie = [(b"origin", BASE.encode()), (b"cookie", f"{SESSION_COOKIE}={session}".encode())]
        token = f"csrf_token={csrf_token(session)}".encode()
        for what, body in BODIES.items():
            # Text that looks like JSON's way to write NUL is text, which the watch over the store cannot know.
            if len(body) < 100_000 and what != "NUL in JSON":
                values = b"&".join(
                    b"%s=%s" % (name.encode(), _quoted(body)) for name in (*row.form, "do", "yaml", "kind", "etag")
                )
                headers = [*cookie, (b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"text/html")]
                answer = await _ask(world, row, headers, token + b"&" + values)
                failures += _failures(row, what, answer)
        multipart = b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token.partition(b"=")[2]
        multipart += (
            b'\r\n--x\r\nContent-Disposition: form-data; name="email"; filename="a"\r\n\r\n\x00\xff\r\n--x--\r\n'
        )
        headers = [*cookie, (b"content-type", b"multipart/form-data; boundary=x")]
        failures += _failures(row, "a file", await _ask(world, row, headers, multipart))
    assert not failures, "\n".join(failures)


async def test_strange_headers_queries_and_paths(world: World) -> None:
    failures: list[str] = []
    for row in ROWS:
        asking = Asking(world, row)
        for what, headers in HEADERS.items():
            failures += _failures(row, what, await asking.ask(target_of(world, row), headers))
        for query in QUERIES:
            # Of two the last counts; without any the answer is held back for long.
            first = "wait=0&" if row.path.endswith("/poll/frames") else ""
            target = f"{target_of(world, row).partition('?')[0]}?{first}{query}"
            failures += _failures(row, query[:60], await asking.ask(target))
        for part in PARTS if "{" in row.path else ():
            target = re.sub(r"\{\w+\}", lambda _, part=part: part, row.path)
            answer = await asking.ask(target)
            failures += _failures(row, target[:90], answer)
            if not 400 <= answer.status < 500 and row.path != "/static/{digest}/{name}":
                failures.append(f"{row.method} {target[:90]}: {answer.status}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_refuses_before_it_begins(path: str, world: World) -> None:
    stream = [(b"accept", b"text/event-stream")]
    there = path.replace("{id}", world.ids["connected"])
    signed_in = await _signed_in(world, next(row for row in TABLE if row.path == "/news"))
    assert (
        (await ask(world.console.app, "GET", there, [*signed_in, *stream]))
        .headers["content-type"]
        .startswith("text/event-stream")
    )
    unknown = {401} if path == "/news" else {404}
    for target, headers, status in [
        (there, stream, {401}),
        (there, [*stream, (b"authorization", b"Bearer x")], {401}),
        (path.replace("{id}", "00000000-0000-0000-0000-000000000000"), [*signed_in, *stream], unknown),
        (path.replace("{id}", "%00"), [*signed_in, *stream], unknown),
    ]:
        if target == "/news" and headers[:1] == signed_in[:1]:
            continue
        answer = await ask(world.console.app, "GET", target, headers)
        assert answer.status in status, (target, answer)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "event_id"),
    [
        ("after=x", None), ("after=-1", None), ("after=9223372036854775808", None), ("after=1.0", None),
        ("after=%00", None), ("limit=0", None), ("", b"x"), ("", b"-1"), ("", b"9" * 19), ("", b"9" * 21),
        ("", b"\xff"), ("after=1", b"1 2"), ("after=%D9%A1", None), ("after=" + "9" * 300, None),
    ],
    ids=range(14),
)  # fmt: skip
async def test_a_stream_asked_from_nowhere(query: str, event_id: bytes | None, world: World) -> None:
    headers = [(b"accept", b"text/event-stream"), (b"authorization", f"Bearer {world.keys['viewer']}".encode())]
    headers += [(b"last-event-id", event_id)] if event_id is not None else []
    target = f"/api/v1/gateways/{world.ids['connected']}/events?{query}"
    answer = await ask(world.console.app, "GET", target, headers)
    assert answer.status == 422, answer
    assert answer.headers["content-type"] == "application/problem+json"


@dataclass
class Asking:
    """A route asked again and again by somebody signed in: what an answer may have ended is made anew."""

    world: World
    row: Row
    _signed_in: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def ask(self, target: str, headers: Headers = (), body: bytes = b"") -> Raw:
        if not self._signed_in:
            self._signed_in = await _signed_in(self.world, self.row)
        answer = await ask(self.world.console.app, self.row.method, target, [*self._signed_in, *headers], body)
        await self.world.settle(self.row.method, answer.status)
        # A refusal ends no session of a browser, but one by long polling.
        if (answer.status < 400 and self.row.method != "GET") or self.row.path.startswith("/gateway/v1/"):
            self._signed_in = []
        return answer


async def _signed_in(world: World, row: Row) -> list[tuple[bytes, bytes]]:
    """As an administrator: by session for a page, by key elsewhere; gateways by their token."""
    if row.path.startswith("/gateway/v1/"):
        token = await world.jet_token("connected") if row.path.endswith("/jet") else await world.poll_token()
        return [(b"authorization", f"Bearer {token}".encode())]
    if not row.is_page:
        return [(b"authorization", f"Bearer {world.keys['admin']}".encode())]
    if row.path in ("/sign-in", "/setup", "/new-password"):
        return [(b"origin", BASE.encode())]
    token = (await world.session("admin")).token
    return [
        (b"cookie", f"{SESSION_COOKIE}={token}".encode()),
        (b"origin", BASE.encode()),
        (CSRF_HEADER.encode(), csrf_token(token).encode()),
    ]


async def _ask(world: World, row: Row, headers: Headers, body: bytes = b"") -> Raw:
    answer = await ask(world.console.app, row.method, target_of(world, row), headers, body)
    await world.settle(row.method, answer.status)
    return answer


def _failures(row: Row, what: str, answer: Raw) -> list[str]:
    text = answer.body.decode("utf-8", "replace")
    told = [f"{row.name}: {what}: {answer.status} {text[:300]}"]
    if answer.status >= 500 or any(word in text for word in SECRET_WORDS):
        return told
    kind = answer.headers.get("content-type", "")
    # Whoever names HTML among what it takes gets a page of our own, also from the gateways' side.
    page = kind.startswith("text/html") and (row.is_page or what == "everything accepted")
    # RFC 9110 gives 416 a shape of its own; the file's size stands in Content-Range.
    if answer.status >= 400 and answer.status != 416 and kind != "application/problem+json" and not page:
        return told
    return told if "x-injected" in answer.headers else []


def _quoted(body: bytes) -> bytes:
    return b"".join(b"%%%02X" % value for value in body[:20_000])
