"""Artifacts over real TLS: fetched, resumed, verified; broken transfers, damaged files, hostile manifests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from pcg.clock import SystemClock
from pcg.errors import ProtocolError
from pcg.gateway.artifacts import Artifacts
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapSteps
from pcg.gateway.identity import Registration
from pcg.model.records import Event
from pcg.network.proxies import NO_PROXIES
from pcg.sealing import signatures
from pcg.wire.release import Release

BIG = bytes(range(256)) * 4096


class Life:
    """One gateway's artifacts, brought again and again from the same folder."""

    def __init__(self, console: Any, folder: Path) -> None:
        self.console = console
        self.folder = folder
        self.said: list[str] = []
        self.told: list[Event] = []

    def artifacts(self, **changes: Any) -> Artifacts:
        known = {
            "gateway_id": "g-1",
            "gateway_name": "first",
            "console_id": "c-1",
            "identity_key": self.console.identity_key,
            "ca": self.console.authority.ca,
            "signing_key": "k",
            "pairing_key": "p",
        }
        registration = Registration.model_validate(known | changes)
        return Artifacts(self.folder, self.console.url, registration, NO_PROXIES, SystemClock())

    async def bring(self) -> Release:
        steps = BootstrapSteps(SystemClock(), self.said.append, self.told.append)
        return await self.artifacts().bring(steps, Backoff(0.01, 0.02))

    def part(self, data: bytes, have: int) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{hashlib.sha256(data).hexdigest()}.part").write_bytes(data[:have])


@pytest.fixture
def life(console: Any, tmp_path: Path) -> Life:
    console.artifacts = {"one.yaml": b"first", "big.bin": BIG}
    return Life(console, tmp_path / "artifacts")


async def test_they_are_fetched_once_and_kept(console: Any, life: Life) -> None:
    release = await life.bring()
    assert life.artifacts().read(release, "big.bin") == BIG
    assert life.artifacts().read(release, "no such") is None
    again = await life.bring()
    assert again == release == life.artifacts().known()
    assert console.ranges == [None, None]
    assert [event.fields["bootstrap-step"] for event in life.told[:2]] == ["release-manifest", "artifacts"]
    assert "0 fetched, 2 here already" in life.said[-1]


async def test_a_broken_transfer_goes_on_where_it_stopped(console: Any, life: Life) -> None:
    life.part(BIG, 1000)
    release = await life.bring()
    assert "bytes=1000-" in console.ranges
    assert life.artifacts().read(release, "big.bin") == BIG
    assert any("going on at byte 1000" in line for line in life.said)


async def test_a_server_without_ranges_is_asked_from_the_start(console: Any, life: Life) -> None:
    console.artifacts = {"big.bin": BIG}
    console.artifact_answers = [Response(BIG)]
    life.part(BIG, 1000)
    release = await life.bring()
    assert console.ranges == ["bytes=1000-"]
    assert life.artifacts().read(release, "big.bin") == BIG


async def test_what_is_left_of_another_file_is_thrown_away(console: Any, life: Life) -> None:
    console.artifacts = {"big.bin": BIG}
    life.part(BIG, 0)
    (life.folder / f"{hashlib.sha256(BIG).hexdigest()}.part").write_bytes(b"x" * 1000)
    release = await life.bring()
    assert console.ranges == ["bytes=1000-", None]
    assert any("expected SHA-256" in line for line in life.said)
    assert life.artifacts().read(release, "big.bin") == BIG


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: Response(b"", 403, {"server": "squid"}), "answer: HTTP 403"),
        (lambda: Response(b"", 302, {"location": "https://elsewhere/"}), "location: https://elsewhere/"),
        (lambda: Response(BIG[:5]), "ended after 5 of 1048576 bytes"),
        (lambda: Response(b"more" + BIG), "expected SHA-256"),
        (lambda: Response(b"\0" * len(BIG)), "expected SHA-256"),
    ],
    ids=["forbidden", "redirected", "short", "long", "damaged"],
)
async def test_a_wrong_answer_names_artifact_and_host_and_is_tried_again(
    console: Any, life: Life, answer: Any, words: str
) -> None:
    console.artifacts = {"big.bin": BIG}
    console.artifact_answers = [answer()]
    release = await life.bring()
    (line,) = [line for line in life.said if "could not be fetched" in line]
    assert "The artifact big.bin could not be fetched from 127.0.0.1" in line
    assert words in line
    assert life.artifacts().read(release, "big.bin") == BIG
    assert [event.fields.get("trouble") for event in life.told if event.reason == "BootstrapStepFailed"] == [
        "artifact-download-failed"
    ]


async def test_another_host_that_refuses_is_named(console: Any, life: Life, unused_tcp_port: int) -> None:
    console.artifact_url = f"https://127.0.0.1:{unused_tcp_port}/"
    steps = BootstrapSteps(SystemClock(), life.said.append, life.told.append)

    class Enough(Exception):
        pass

    class Twice(Backoff):
        def next(self, asked: float | None = None) -> float:
            if len(life.said) > 2:
                raise Enough
            return 0.0

    with pytest.raises(Enough):
        await life.artifacts().bring(steps, Twice())
    assert any(
        f"could not be fetched from 127.0.0.1:{unused_tcp_port}" in line and "refused" in line for line in life.said
    )


async def test_a_manifest_of_another_console_is_not_believed(console: Any, life: Life) -> None:
    await life.bring()
    other = signatures.new_nonce()  # any 32 bytes in the right spelling
    assert life.artifacts(identity_key=other).known() is None
    with pytest.raises(ProtocolError, match="not signed by the console"):
        await life.artifacts(identity_key=other)._bring_once(BootstrapSteps(SystemClock(), life.said.append))


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        '{"console_id": "c-1", "version": "1", "artifacts": [{"name": "../x", "url": "/", "size": 1, "sha256": "00"}]}',
        '{"console_id": "c-1", "version": "1", "artifacts": [{"name": "x", "url": "http://h/x", "size": 1, "sha256": "'
        + "0" * 64
        + '"}]}',
    ],
    ids=["empty", "path in name", "plain http"],
)
async def test_a_hostile_manifest_is_refused_even_when_signed(console: Any, life: Life, document: str) -> None:
    signature = signatures.sign(console.identity, signatures.RELEASE, "c-1", document)
    console.release_answers = [Response(_signed(document, signature)), PlainTextResponse("portal")]
    for words in ("release|not https", "it did not answer as it should"):
        with pytest.raises(Exception, match=words):
            await life.artifacts()._bring_once(BootstrapSteps(SystemClock(), life.said.append))
    assert not list(life.folder.glob("*")) if life.folder.exists() else True


async def test_a_disk_without_room_is_told(console: Any, life: Life) -> None:
    life.folder.parent.joinpath("artifacts").write_text("a file stands in the way")
    with pytest.raises(Exception, match="cannot be written"):
        await life.artifacts()._bring_once(BootstrapSteps(SystemClock(), life.said.append))


def _signed(document: str, signature: str) -> bytes:
    from pcg.wire.release import SignedRelease

    return SignedRelease(document=document, signature=signature).model_dump_json().encode()
