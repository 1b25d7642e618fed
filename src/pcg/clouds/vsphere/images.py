"""The import of the node image: streamed from its source into the vCenter, verified, and only then made the template.

Used by `cloud.py`: `advance` starts the import as a task beside and answers at once, however often it is called. A
failed attempt is told once; the next call starts the next one. `close` ends it and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pcg.clouds.base import Check, CloudTask, TaskState, TemplateProgress
from pcg.clouds.vsphere import image_failures, leftovers, templates
from pcg.clouds.vsphere.downloads import Source, importable, source_of
from pcg.clouds.vsphere.leases import Lease, call, to_the_end
from pcg.clouds.vsphere.leftovers import IMPORTING, Leftover
from pcg.clouds.vsphere.ova import MalformedOva
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place, Survey
from pcg.clouds.vsphere.transfer import Transfer
from pcg.errors import Conflict, NotFound, PcgError, TryAgain
from pcg.model.configuration import Configuration, shown_url
from pcg.network.proxies import Proxies

LOOK_EVERY = 2.0
"""seconds between looks at an import that somebody else makes"""
TOLD_EVERY = 3.0
"""seconds after which a step that shows the progress looks again"""
CLOSE_WITHIN = 30.0
OTHERS = (
    "another gateway imports this image, or this one did before it was restarted: "
    f"what nobody works on is removed after {leftovers.STALE_SECONDS:.0f} s; looking every {LOOK_EVERY:.0f} s"
)
FIRST_BYTES_WITHIN = 10.0
"""seconds, in preflight: whoever waits for it is shown nothing meanwhile"""

_ABSENT = ("template-not-found", "folder-not-found")


@dataclass
class _Import:
    """One attempt."""

    key: tuple[str, ...]
    attempt: int
    source: Source
    doing: str = "looking"
    transfer: Transfer | None = None
    task: asyncio.Task[None] | None = None
    lease: Lease | None = None


class Imports:
    def __init__(self, session: VsphereSession, proxies: Proxies) -> None:
        self._session = session
        self._proxies = proxies
        self._run: _Import | None = None
        self._attempts: dict[tuple[str, ...], int] = {}
        self._came_to: dict[tuple[str, ...], int] = {}
        """bytes that the last interrupted attempt had read"""

    async def ensure(self, configuration: Configuration) -> TemplateProgress:
        try:
            template = await self._find(configuration)
        except NotFound as missing:
            if missing.reason not in _ABSENT or not importable(configuration.template.image):
                raise
            return await self._advance(configuration)
        await self.close()
        return TemplateProgress(template=template)

    async def check(self, configuration: Configuration, problem: PcgError) -> Check:
        """For preflight, of a template that was not found. It is no problem when the configuration says where to get it
        and the first bytes come from there, by the way that the import will take."""
        image = configuration.template.image
        if problem.reason not in _ABSENT or not importable(image):
            return Check("template", False, problem.what, problem)
        try:
            async with (
                asyncio.timeout(FIRST_BYTES_WITHIN),
                aclosing(source_of(image, self._proxies).pieces()) as pieces,
            ):
                await anext(pieces, b"")
        except TimeoutError:
            why = [f"nothing came within {FIRST_BYTES_WITHIN:g} s"]
            silent = image_failures.source_unreachable(image, "http", why)
            return Check("image", False, silent.what, silent)
        except PcgError as error:
            return Check("image", False, error.what, error)
        return Check("template", True, f"it will be imported from {shown_url(image)}")

    async def close(self) -> None:
        """End the attempt under way; its lease is aborted and its machine gone when this returns."""
        run, self._run = self._run, None
        if run is None or run.task is None:
            return
        run.task.cancel()
        await asyncio.wait([run.task], timeout=CLOSE_WITHIN)
        if run.task.done() and not run.task.cancelled():
            run.task.exception()  # nobody asks any more

    async def _advance(self, configuration: Configuration) -> TemplateProgress:
        key = _key(configuration)
        if self._run is not None and self._run.key != key:
            await self.close()
        if self._run is None:
            self._begin(key, configuration)
        run = self._run
        assert run is not None
        assert run.task is not None
        if not run.task.done():
            return self._progress(run)
        self._run = None
        error = run.task.exception()
        if error is None:
            self._attempts.pop(key, None)
            return await self._found(configuration)
        problem = (
            error if isinstance(error, PcgError) else TryAgain(f"The import failed: {type(error).__name__}: {error}")
        )
        failed = CloudTask(
            _id(run), TaskState.FAILED, "import", error=image_failures.with_attempt(problem, run.attempt)
        )
        return TemplateProgress(None, failed, fetched=True, attempt=run.attempt)

    async def _found(self, configuration: Configuration) -> TemplateProgress:
        return TemplateProgress(template=await self._find(configuration), fetched=True)

    def _begin(self, key: tuple[str, ...], configuration: Configuration) -> None:
        attempt = self._attempts[key] = self._attempts.get(key, 0) + 1
        run = self._run = _Import(key, attempt, source_of(configuration.template.image, self._proxies))
        run.task = asyncio.create_task(self._attempt(run, configuration))

    def _progress(self, run: _Import) -> TemplateProgress:
        transfer = run.transfer
        return TemplateProgress(
            template=None,
            task=CloudTask(_id(run), TaskState.RUNNING, "import", progress=transfer.percent if transfer else None),
            fetched=True,
            doing=run.doing if transfer is None else image_failures.amount(transfer.position, run.source.total),
            attempt=run.attempt,
            interrupted_at=image_failures.amount(self._came_to[run.key], None) if run.key in self._came_to else "",
            look_again=TOLD_EVERY,
        )

    async def _attempt(self, run: _Import, configuration: Configuration) -> None:
        wanted = configuration.template
        name = importing_name(configuration)
        place = await call(self._session, Survey(self._session).place, configuration.placement[0])
        folder = await call(self._session, leftovers.ensure_folder, self._session, configuration)
        while True:
            left = await call(self._session, leftovers.look, self._session, folder, name, wanted.name)
            if left is Leftover.WHOLE or await self._exists(configuration):
                return
            if left is Leftover.NOTHING:
                try:
                    await self._transfer(run, configuration, place, folder, name)
                except Conflict as error:
                    if error.reason != "name-taken" or run.lease is not None:
                        raise
                else:
                    return
            run.transfer = None
            run.doing = OTHERS
            await asyncio.sleep(LOOK_EVERY)
            run.source = source_of(wanted.image, self._proxies)  # what was read of it is past

    async def _find(self, configuration: Configuration) -> str:
        """The template's id. Raises NotFound."""
        survey = Survey(self._session)
        return await call(self._session, templates.find_template, self._session, survey, configuration)

    async def _exists(self, configuration: Configuration) -> bool:
        try:
            await self._find(configuration)
        except NotFound as missing:
            if missing.reason not in _ABSENT:
                raise
            return False
        return True

    async def _transfer(self, run: _Import, configuration: Configuration, place: Place, folder: Any, name: str) -> None:
        wanted = configuration.template
        run.doing = "reaching the image's source"
        marks = await call(self._session, leftovers.marks, self._session, wanted.image, wanted.sha256)
        async with aclosing(run.source.pieces()) as pieces:
            transfer = Transfer(self._session, wanted, run.source, pieces)
            try:
                spec = await transfer.import_spec(place, name, marks)
                run.lease = await Lease.begin(self._session, place.pool.object, spec, folder)
                run.transfer = transfer
                try:
                    await transfer.send(run.lease)
                    await transfer.complete(run.lease)
                    run.doing, run.transfer = "making it the template", None
                    await call(self._session, leftovers.finish, self._session, run.lease.entity, wanted.name)
                except BaseException:
                    self._came_to[run.key] = transfer.position
                    await to_the_end(self._give_up(run.lease))
                    raise
            except MalformedOva as error:
                raise image_failures.unusable(wanted.image, str(error)) from error

    async def _give_up(self, lease: Lease) -> None:
        await lease.abort()
        # vCenter removes the machine of a failed lease; of one that was completed already it is ours to remove.
        with contextlib.suppress(PcgError):
            await call(self._session, leftovers.remove, self._session, lease.entity)


def importing_name(configuration: Configuration) -> str:
    """The same for every gateway that wants this image, so that two of them see each other."""
    return f"{configuration.template.name}{IMPORTING}"


def _key(configuration: Configuration) -> tuple[str, ...]:
    wanted = configuration.template
    return (configuration.placement[0].model_dump_json(), wanted.folder, wanted.image, wanted.sha256 or "")


def _id(run: _Import) -> str:
    return f"import-{run.attempt}"
