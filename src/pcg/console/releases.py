"""The release manifest and the artifacts that the console offers its gateways (docs/protocol.md, Release).

Built in is jet's manifest; each further file that an operator puts into the folder `artifacts` of the console's data is
offered too. Files are served by the console itself, or fetched from a mirror that holds the same files. Called by
`api/gateway_side.py`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pcg
from pcg.console.certificates import Certificates, write_private
from pcg.errors import NotFound
from pcg.nodes.manifests import jet_manifest_template
from pcg.sealing import signatures
from pcg.wire.release import JET_MANIFEST, MAXIMUM_ARTIFACTS, Artifact, Release, SignedRelease

PATH = "/gateway/v1/artifacts"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PIECE = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """A file as it was when its digest was computed."""

    stamp: tuple[int, int]
    artifact: Artifact


class Releases:
    """`mirror` is an https URL without a trailing slash below which the same files lie, or None."""

    def __init__(self, folder: Path, certificates: Certificates, mirror: str | None = None) -> None:
        self._folder = folder
        self._certificates = certificates
        self._base = mirror or PATH
        self._known: dict[str, _Known] = {}

    def prepare(self) -> None:
        """At the start: write the built-in artifact of this version. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        built_in, path = jet_manifest_template(pcg.__version__).encode(), self._folder / JET_MANIFEST
        if not path.exists() or path.read_bytes() != built_in:
            write_private(path, built_in)

    def manifest(self) -> SignedRelease:
        """Reads what changed since the last call; blocking, so call it in a thread."""
        release = Release(
            console_id=self._certificates.console_id, version=pcg.__version__, artifacts=list(self._artifacts())
        )
        document = release.model_dump_json()
        signature = signatures.sign(
            self._certificates.identity, signatures.RELEASE, self._certificates.console_id, document
        )
        return SignedRelease(document=document, signature=signature)

    def file(self, name: str) -> Path:
        """Raises NotFound for what is not on the list; a name never leads out of the folder."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise NotFound("This console offers no such artifact.", reason="artifact-unknown")
        return path

    def _artifacts(self) -> list[Artifact]:
        found: list[Artifact] = []
        for path in sorted(self._folder.iterdir()):
            if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
                continue
            if len(found) == MAXIMUM_ARTIFACTS:
                _log.warning("only the first %d files of %s are offered", MAXIMUM_ARTIFACTS, self._folder)
                break
            found.append(self._artifact(path))
        return found

    def _artifact(self, path: Path) -> Artifact:
        state = path.stat()
        stamp = (state.st_size, state.st_mtime_ns)
        known = self._known.get(path.name)
        if known is None or known.stamp != stamp:
            url = f"{self._base}/{path.name}"
            artifact = Artifact(name=path.name, url=url, size=state.st_size, sha256=_digest(path))
            known = self._known[path.name] = _Known(stamp, artifact)
        return known.artifact


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
