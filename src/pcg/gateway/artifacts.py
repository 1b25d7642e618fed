"""Artifacts of the console's release: listed, fetched, resumed by range, verified, and kept by their digest.

What is here with the right digest is not fetched again. A transfer that breaks goes on where it stopped, at the next
try or after a restart. Errors name the artifact, the host and its answer. Called by the agent once it is registered.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import ValidationError

from pcg.clock import Clock
from pcg.errors import PcgError, ProtocolError, SetupMissing, TryAgain, Unreachable
from pcg.gateway.backoff import Backoff
from pcg.gateway.bootstrap_steps import BootstrapStep, BootstrapSteps
from pcg.gateway.identity import Registration
from pcg.network.http import call, http_client, not_a_console, streamed
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust
from pcg.sealing import signatures
from pcg.wire.release import Artifact, Release, SignedRelease

if TYPE_CHECKING:
    import httpx

_PROGRESS_BYTES = 64 << 20
"""a line each time so much has come"""


class Artifacts:
    """`folder` holds each artifact under its SHA-256, half ones as `.part`."""

    def __init__(self, folder: Path, endpoint: str, registration: Registration, proxies: Proxies, clock: Clock) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._registration = registration
        self._proxies = proxies
        self._clock = clock
        self._list = folder / "release.json"

    def known(self) -> Release | None:
        """The release that was brought last and is whole, or None. It needs no network."""
        try:
            release = self._verified(SignedRelease.model_validate_json(self._list.read_text()))
        except (OSError, ValidationError, ProtocolError):
            return None
        return release if all(self._whole(artifact) for artifact in release.artifacts) else None

    def read(self, release: Release, name: str) -> bytes | None:
        """None: the release has no such artifact."""
        artifact = next((item for item in release.artifacts if item.name == name), None)
        return None if artifact is None else self._path(artifact).read_bytes()

    def trust(self, registration: Registration) -> None:
        """From now on by the CAs of this one: the console has changed its own."""
        self._registration = registration

    async def bring(self, steps: BootstrapSteps, tries: Backoff | None = None) -> Release:
        """Tried again until every artifact is here. Trouble with the network, the host and the disk only delays it."""
        tries, attempt = tries or Backoff(first=1.0, most=60.0), 0
        while True:
            attempt += 1
            try:
                return await self._bring_once(steps)
            except (TryAgain, ProtocolError, SetupMissing) as error:
                wait = tries.next(getattr(error, "after", None))
                steps.failed(error, attempt, wait)
                await self._clock.sleep(wait)

    async def _bring_once(self, steps: BootstrapSteps) -> Release:
        steps.begin(BootstrapStep.RELEASE_MANIFEST)
        signed = await self._ask_release()
        release = self._verified(signed)
        total = sum(artifact.size for artifact in release.artifacts)
        steps.done(f"release {release.version}, {len(release.artifacts)} artifacts, {total} bytes")
        steps.begin(BootstrapStep.ARTIFACTS)
        self._make_folder()
        fetched = 0
        for artifact in release.artifacts:
            if not await asyncio.to_thread(self._whole, artifact):
                await self._fetch(artifact, steps)
                fetched += 1
        _write(self._list, signed.model_dump_json())
        self._forget_others(release)
        steps.done(f"{fetched} fetched, {len(release.artifacts) - fetched} here already; all verified (SHA-256)")
        return release

    async def _ask_release(self) -> SignedRelease:
        url = "/gateway/v1/release"
        async with self._client(self._endpoint) as client:
            answer = await call(client, "GET", url)
        try:
            return SignedRelease.model_validate_json(answer.content)
        except ValidationError:
            raise not_a_console(f"{self._endpoint}{url}", answer) from None

    def _verified(self, signed: SignedRelease) -> Release:
        known = self._registration
        if not signatures.verify(
            known.identity_key, signed.signature, signatures.RELEASE, known.console_id, signed.document
        ):
            raise ProtocolError(
                "The release manifest is not signed by the console that this gateway is registered with.",
                reason="release-not-proven",
                remedy=["Check what stands between the gateway and the console, and whether the console was replaced."],
            )
        try:
            return Release.model_validate_json(signed.document)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise ProtocolError(
                "The release manifest cannot be understood.",
                reason="release-invalid",
                evidence=[f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"],
            ) from None

    async def _fetch(self, artifact: Artifact, steps: BootstrapSteps) -> None:
        path = self._path(artifact)
        part = path.with_suffix(".part")
        origin, target = self._place(artifact)
        try:
            async with self._client(origin) as client:
                await self._download(client, target, artifact, part, steps)
        except OSError as error:
            raise _no_room(part, error) from error
        except Unreachable as error:
            raise _failed(artifact, target, error) from error
        if await asyncio.to_thread(_digest_of, part) != artifact.sha256:
            found = await asyncio.to_thread(_digest_of, part)
            part.unlink()
            raise _damaged(artifact, target, found)
        part.replace(path)

    async def _download(
        self, client: httpx.AsyncClient, target: str, artifact: Artifact, part: Path, steps: BootstrapSteps
    ) -> None:
        have = _present(part, artifact.size)
        if have == artifact.size and have:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        headers["Accept-Encoding"] = "identity"  # sizes and digests are of the bytes as they are
        told = have
        if have:
            steps.note(f"artifact {artifact.name}: going on at byte {have} of {artifact.size}")
        async with streamed(client, "GET", target, headers=headers) as answer:
            if answer.status_code not in (200, 206):
                raise _answered(artifact, target, answer)
            resumed = answer.status_code == 206 and answer.headers.get("content-range", "").startswith(f"bytes {have}-")
            have = have if resumed else 0
            with part.open("ab" if resumed else "wb") as file:
                async for piece in answer.aiter_bytes():
                    have += len(piece)
                    if have > artifact.size:
                        break  # its digest would be wrong; more is not even taken
                    file.write(piece)
                    if have - told >= _PROGRESS_BYTES:
                        told = have
                        steps.note(f"artifact {artifact.name}: {have} of {artifact.size} bytes")
                file.flush()
                os.fsync(file.fileno())
        if have < artifact.size:
            raise _cut(artifact, target, have)

    def _place(self, artifact: Artifact) -> tuple[str, str]:
        """Origin and whole URL."""
        if artifact.url.startswith("/"):
            return self._endpoint, f"{self._endpoint}{artifact.url}"
        parts = urlsplit(artifact.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ProtocolError(
                f"The artifact {artifact.name} has an address that is not https.",
                reason="release-invalid",
                evidence=[f"url: {artifact.url[:200]}"],
            )
        return f"https://{parts.netloc}", artifact.url

    def _client(self, origin: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """The console by its own CA alone; another host by the system's CAs and the one that the operator gave."""
        own = origin == self._endpoint
        trust = Trust.only_ca(self._registration.ca) if own else Trust.system_and(self._proxies.ca)
        return http_client(trust, base_url=origin, proxies=self._proxies)

    def _whole(self, artifact: Artifact) -> bool:
        path = self._path(artifact)
        return path.is_file() and path.stat().st_size == artifact.size and _digest_of(path) == artifact.sha256

    def _path(self, artifact: Artifact) -> Path:
        return self._folder / artifact.sha256

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _no_room(self._folder, error) from error

    def _forget_others(self, release: Release) -> None:
        keep = {artifact.sha256 for artifact in release.artifacts} | {self._list.name}
        for path in self._folder.iterdir():
            if path.name not in keep:
                path.unlink()


def _present(part: Path, wanted: int) -> int:
    """How many bytes of a broken transfer are here; more than wanted cannot be of it."""
    have = part.stat().st_size if part.exists() else 0
    if have > wanted:
        part.unlink()
    return have if have <= wanted else 0


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise _no_room(path, error) from error


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(artifact: Artifact, target: str, error: Unreachable) -> Unreachable:
    """The hop's own words stay; what is added is which artifact, and that its host may be another than the console."""
    if error.reason == _REASON:
        return error
    return _unfetched(artifact, target, [error.what, *error.evidence], error)


def _answered(artifact: Artifact, target: str, answer: httpx.Response) -> Unreachable:
    evidence = [f"answer: HTTP {answer.status_code}"]
    evidence += [
        f"{name}: {answer.headers[name][:200]}" for name in ("location", "server", "via") if name in answer.headers
    ]
    return _unfetched(artifact, target, evidence)


def _cut(artifact: Artifact, target: str, have: int) -> Unreachable:
    return _unfetched(
        artifact, target, [f"the transfer ended after {have} of {artifact.size} bytes; it will go on there"]
    )


def _damaged(artifact: Artifact, target: str, found: str) -> Unreachable:
    return _unfetched(artifact, target, [f"expected SHA-256: {artifact.sha256}", f"found:            {found}"])


_REASON = "artifact-download-failed"


def _unfetched(artifact: Artifact, target: str, evidence: list[str], error: Unreachable | None = None) -> Unreachable:
    host = urlsplit(target).netloc
    return Unreachable(
        f"The artifact {artifact.name} could not be fetched from {host}.",
        reason=_REASON,
        evidence=[f"tried: {target}", *(item for item in evidence if not item.startswith("tried: "))],
        remedy=[f"Let this machine (or its proxy) fetch {target} by HTTPS; check that the artifact lies there."],
        fields={**(error.fields if error else {"hop": "http"}), "artifact": artifact.name, "target": target},
    )


def _no_room(path: Path, error: OSError) -> PcgError:
    return SetupMissing(
        f"The artifact cannot be written to {path.parent}.",
        reason="artifact-not-written",
        evidence=[f"{type(error).__name__}: {error}"],
        remedy=["Make room on that disk, or give --state a directory that this user may write."],
    )
