"""A gateway that is asked for its logs and sends garbage, too much, something else, or nothing for ever."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from doubles.gateway import GatewayDouble
from log_cases import archive_of
from pcg.bundle.manifest import Item, Manifest
from pcg.console.bundle_transfer import TransferLimits
from pcg.console.safety import CONTENT_SECURITY_POLICY
from pcg.wire import frames
from pcg.wire.bundle import CHUNK_BYTES, MAXIMUM_BUNDLE_BYTES

from .actors import by_cookie
from .authorisation_table import Least, Row
from .hostile import PAYLOADS, Shown, unseemly
from .world import World

pytestmark = pytest.mark.shared

Answers = Callable[[dict[str, Any]], dict[str, Any] | None]
"""From a question to the answer's body; None: no answer"""

SHORT = TransferLimits(collecting=0.4, away=0.4, whole=1.5, look_every=0.02, analysing=20.0)
PAGE = Row("GET", "/bundles/{bundle_id}", Least.OPERATOR)


def honest(archive: bytes, **instead: Any) -> Answers:
    def answer(question: dict[str, Any]) -> dict[str, Any]:
        at = question["offset"]
        data = base64.b64encode(archive[at : at + CHUNK_BYTES]).decode()
        ready = {"state": "ready", "size": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
        chunk = {"offset": at, "data": data}
        given = chunk if question["action"] == "chunk" else ready
        return {**given, **{name: value for name, value in instead.items() if name in given}}

    return answer


def of_gateway(text: str = "plain") -> bytes:
    item = Item(name=text[:1024], source=text[:1024], skipped=text[:1024])
    manifest = Manifest(made_at="2026-06-01T12:00:00Z", made_by=text[:128], items=[item] * 300)  # type: ignore[arg-type]
    line = f"Feb  3 07:11:00 node-a app[1]: {text[:60]} no space left on device\n".encode()
    return archive_of({f"var/log/{text[:40]}syslog": line, "manifest.json": manifest.model_dump_json().encode()})


def bomb() -> bytes:
    """Two GiB of zeros in two MiB."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=9) as tar:
        member = tarfile.TarInfo("var/log/syslog")
        member.size = 400 << 20
        tar.addfile(member, _Zeros())
    return raw.getvalue()


class _Zeros(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return b"\n" * size


SOUND = of_gateway()
LIES: dict[str, tuple[Answers, str]] = {
    "it collects for ever": (lambda question: {"state": "collecting", "items": 1}, "deadline-exceeded"),
    "it never answers": (lambda question: None, "deadline-exceeded"),
    "no answer of ours": (lambda question: {"state": "done"}, "answer-invalid"),
    "a number that is none": (lambda question: {"state": "ready", "size": "much"}, "answer-invalid"),
    "larger than any": (honest(SOUND, size=MAXIMUM_BUNDLE_BYTES + 1), "bundle-size"),
    "nothing": (honest(SOUND, size=0), "bundle-size"),
    "no digest": (honest(SOUND, sha256=""), "bundle-size"),
    "another digest": (honest(SOUND, sha256="0" * 64), "bundle-damaged"),
    "more than it said": (honest(SOUND, size=10), "answer-invalid"),
    "less than it said": (honest(SOUND, size=len(SOUND) + 1), "answer-invalid"),
    "pieces of nothing": (honest(SOUND, data=""), "answer-invalid"),
    "a piece that is no base64": (honest(SOUND, data="§§§§"), "answer-invalid"),
    "a piece of elsewhere": (honest(SOUND, offset=CHUNK_BYTES), "answer-invalid"),
    "a piece too large": (honest(SOUND, data="A" * 400_000), "answer-invalid"),
    "garbage": (honest(b"garbage" * 999), "bundle-invalid"),
    "an archive of something else": (honest(archive_of({"etc/passwd": b"x"})), "bundle-invalid"),
    "a bomb": (honest(bomb()), "bundle-invalid"),
    "a reason that is none": (lambda question: {"state": "failed"}, "answer-invalid"),
}


@pytest.fixture
def hurried(world: World) -> World:
    world.console.app.state.bundles.limits = SHORT
    return world


@pytest.mark.parametrize("name", LIES)
async def test_each_ends_with_a_reason_and_leaves_nothing_behind(name: str, hurried: World) -> None:
    answers, reason = LIES[name]
    failed = await _followed(hurried, answers)
    assert (failed["state"], failed["problem"]["reason"]) == ("failed", reason), failed
    left = hurried.console.app.state.settings.data / "bundles" / failed["id"]
    assert {path.name for path in left.iterdir()} == {"bundle.json"}
    answer = await hurried.client.get(f"/api/v1/bundles/{failed['id']}/archive", headers=_key(hurried))
    assert answer.status_code == 409


@pytest.mark.parametrize("name", PAYLOADS)
async def test_what_a_bundle_tells_is_shown_and_nothing_more(name: str, hurried: World) -> None:
    text = PAYLOADS[name]
    for answers in (honest(of_gateway(text.replace("\x00", ""))), _failing(text)):
        told = await _followed(hurried, answers)
        assert told["state"] in ("ready", "failed")
        if told["analysis"]:
            assert not unseemly(json.dumps(told["analysis"]["missing"], ensure_ascii=False))
        hurried.victim_bundle, kept = told["id"], hurried.victim_bundle
        page = await by_cookie(hurried, PAGE, (await hurried.session("operator")).token)
        hurried.victim_bundle = kept
        assert page.status == 200
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        Shown(page.text).check_inert()


def _failing(text: str) -> Answers:
    problem = {"reason": text[:64], "what": text[:4096], "remedy": [text[:2048]], "at": "2026-06-01T12:00:00Z"}
    return lambda question: {"state": "failed", "problem": problem}


async def _followed(world: World, answers: Answers) -> dict[str, Any]:
    async def answer(gateway: GatewayDouble, request: frames.Request) -> None:
        body = answers(request.arguments)
        if body is not None:
            await gateway.send(frames.Response(id=request.id, ok=True, body=body))

    world.answering = answer
    url, key = f"/api/v1/gateways/{world.ids['connected']}/bundles", _key(world)
    asked = await world.client.post(url, headers=key)
    assert asked.status_code == 202, asked.text
    async with asyncio.timeout(30):
        while True:
            told = (await world.client.get(f"/api/v1/bundles/{asked.json()['id']}", headers=key)).json()
            if told["state"] in ("ready", "failed"):
                return dict(told)
            await asyncio.sleep(0.02)


def _key(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.keys['operator']}"}
