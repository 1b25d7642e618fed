"""Makes a log bundle of this machine and of what the gateway knows: `pcg bundle`, the gateway's answer to the console,
and the installer's own page call `create_bundle`.

Everything is read as streams, passes the redactor, and is bounded in size and time, item by item and in all. What
cannot be read is no reason to fail: it stands in the manifest with its reason.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pcg.bundle.command_source import output_of
from pcg.bundle.file_source import Skipped, open_log
from pcg.bundle.limits import LimitReached
from pcg.bundle.manifest import DOCUMENTS, Manifest, bundle_name
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.redaction import Redactor
from pcg.bundle.sources import MACHINE, BundleLimits, Command, Document, Files, Source
from pcg.bundle.writing import BundleWriter

_DOCUMENT_SECONDS = 60.0


@dataclass(frozen=True)
class Bundle:
    path: Path
    size: int
    """bytes of the file"""
    manifest: Manifest


async def create_bundle(
    folder: Path,
    now: datetime,
    *,
    documents: Sequence[Document] = (),
    pseudonyms: Pseudonyms | None = None,
    known: Iterable[str] = (),
    limits: BundleLimits | None = None,
    root: Path = Path("/"),
    machine: Sequence[Files | Command] = MACHINE,
    progress: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """A new file `spectro-logs-….tgz` in `folder`, mode 0600. `known`: secrets of the caller, taken out wherever they
    stand. `progress` is called from another thread, once an item.

    Raises SetupMissing or ResourcesMissing when nothing can be written. A cancelled caller leaves no file.
    """
    limits = limits or BundleLimits()
    ready = [await _asked(document, limits.item_seconds) for document in documents]
    stop = threading.Event()
    collecting = _Collecting(folder, now, root, limits, Redactor(pseudonyms, known), progress, stop)
    work = asyncio.ensure_future(asyncio.to_thread(collecting.run, [*ready, *machine]))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        raise


class _Stopped(Exception):
    """Nobody waits for the bundle any longer."""


class _Collecting:
    """One bundle, in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        now: datetime,
        root: Path,
        limits: BundleLimits,
        redactor: Redactor,
        progress: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._folder = folder
        self._now = now
        self._root = root.resolve()
        self._limits = limits
        self._redactor = redactor
        self._progress = progress
        self._stop = stop
        self._until = time.monotonic() + limits.seconds
        self._files = 0

    def run(self, sources: Sequence[Source]) -> Bundle:
        writer = self._writer()
        try:
            for source in sources:
                try:
                    self._collect(writer, source)
                except LimitReached as reached:
                    writer.skip("(the rest)", "", reached.what)
                    break
            if self._stop.is_set():
                raise _Stopped
            manifest = writer.finish()
            return Bundle(writer.path, writer.path.stat().st_size, manifest)
        finally:
            writer.close()

    def _writer(self) -> BundleWriter:
        """Two bundles of one second get two names."""
        path, number = self._folder / bundle_name(self._now), 1
        while path.exists():
            number += 1
            path = path.with_name(bundle_name(self._now).replace(".tgz", f"-{number}.tgz"))
        limits = self._limits
        return BundleWriter(
            path, self._redactor, self._now, most_bytes=limits.total_bytes, most_packed=limits.packed_bytes
        )

    def _collect(self, writer: BundleWriter, source: Source) -> None:
        match source:
            case Document():
                self._document(writer, source)
            case Command():
                self._command(writer, source)
            case Files():
                paths = sorted(self._root.glob(source.pattern))
                for path in paths:
                    self._file(writer, source, path)
                if not paths:
                    writer.skip(source.pattern, f"/{source.pattern}", self._why_nothing(source))

    def _document(self, writer: BundleWriter, document: Document) -> None:
        name = f"{DOCUMENTS}{document.name}.json"
        if isinstance(document.content, Skipped):
            writer.skip(name, "the gateway", str(document.content))
            return
        text = json.dumps(document.content, indent=1, ensure_ascii=False, default=str).encode("utf-8", "replace")
        self._add(writer, name, "the gateway", iter([text]), self._now.timestamp(), list[str]())

    def _command(self, writer: BundleWriter, command: Command) -> None:
        told, source = list[str](), " ".join(command.arguments)
        try:
            chunks = output_of(command.arguments, self._limits.item_seconds, told.append, self._stop.is_set)
        except Skipped as skipped:
            writer.skip(command.name, source, str(skipped))
            return
        self._progress(source)
        self._add(writer, command.name, source, _something(chunks, told), self._now.timestamp(), told)

    def _file(self, writer: BundleWriter, files: Files, path: Path) -> None:
        name = str(path.relative_to(self._root))
        self._files += 1
        if self._files > self._limits.files:
            raise LimitReached(f"more than {self._limits.files} files")
        told = list[str]()
        within = tuple(self._root / folder for folder in files.within)
        try:
            opened = open_log(path, name, within, self._limits.item_bytes, told.append)
        except Skipped as skipped:
            writer.skip(name, f"/{name}", str(skipped))
            return
        self._progress(f"/{name}")
        if opened.left_out:
            told.append(opened.left_out)
        try:
            self._add(writer, opened.name, f"/{name}", opened.chunks, opened.modified, told)
        finally:
            opened.close()

    def _add(
        self,
        writer: BundleWriter,
        name: str,
        source: str,
        chunks: Iterator[bytes],
        modified: float,
        told: list[str],
    ) -> None:
        if time.monotonic() > self._until:
            raise LimitReached(f"collecting took longer than {self._limits.seconds:g} s")
        writer.add(
            name,
            source,
            self._timed(chunks, told),
            modified=modified,
            most=self._limits.item_bytes,
            note=lambda: "; ".join(told),
        )

    def _timed(self, chunks: Iterator[bytes], told: list[str]) -> Iterator[bytes]:
        until = min(time.monotonic() + self._limits.item_seconds, self._until)
        for chunk in chunks:
            if self._stop.is_set():
                raise _Stopped
            if time.monotonic() > until:
                told.append("reading it took too long; the rest is not in")
                return
            yield chunk

    def _why_nothing(self, source: Files) -> str:
        folder = self._root / source.pattern.rpartition("/")[0]
        try:
            next(folder.iterdir(), None)
        except FileNotFoundError:
            return "not there"
        except OSError as error:
            return f"cannot be listed: {error.strerror}"
        return "not there"


def _something(chunks: Iterator[bytes], told: list[str]) -> Iterator[bytes]:
    """A journal without the kubelet's lines is no healthy kubelet: that it is empty is told."""
    printed = False
    for chunk in chunks:
        printed = True
        yield chunk
    if not printed:
        told.append("it printed nothing")


async def _asked(document: Document, seconds: float) -> Document:
    """With its content, or the reason why there is none."""
    if not callable(document.content):
        return document
    content: Any
    try:
        async with asyncio.timeout(min(seconds, _DOCUMENT_SECONDS)):
            content = await document.content()
    except TimeoutError:
        content = Skipped(f"it was not there within {seconds:g} s")
    except Exception as error:  # noqa: BLE001 - a part that is broken is what a bundle is made for
        # The type alone: the text of an unknown error may hold anything.
        content = Skipped(f"it could not be told: {type(error).__name__}")
    return Document(document.name, content)
