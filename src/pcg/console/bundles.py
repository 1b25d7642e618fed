"""The rules of log bundles: who may ask a gateway for one, how many are kept and for how long, who may have them.

`api/bundles.py` and the pages call it; `app.py` opens it with the application. One bundle a gateway at a time.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pcg.bundle.manifest import bundle_name
from pcg.console.audit import record as audit
from pcg.console.auth import Action, Actor, require
from pcg.console.bundle_records import BundleFolder, BundleRecord, BundleState
from pcg.console.bundle_transfer import Transfer, TransferLimits
from pcg.console.hub import Hub
from pcg.console.requests import not_connected
from pcg.console.service import Service
from pcg.console.store.models import Gateway
from pcg.console.store.whole import whole
from pcg.console.streams import Topic
from pcg.errors import Conflict, NotFound, ResourcesMissing
from pcg.wire.bundle import MAXIMUM_BUNDLE_BYTES

KEPT_OF_GATEWAY = 3
KEPT_BYTES = 2 << 30
"""of all gateways; the oldest go first"""

KEPT = timedelta(days=7)
_ROOM_BYTES = 2 * MAXIMUM_BUNDLE_BYTES
"""that must be free before one is asked for"""

_TELL_SECONDS = 0.5
"""pages hear of progress at most so often"""

_SWEEP_SECONDS = 3600.0


class BundleView(BundleRecord):
    name: str
    """of the archive"""
    support_address: str | None = None
    """where this console's operator wants bundles sent"""


class Bundles:
    """One of it in a console. `support_address` is a setting, shown beside each bundle."""

    def __init__(
        self,
        service: Service,
        hub: Hub,
        path: Path,
        support_address: str | None = None,
        limits: TransferLimits | None = None,
    ) -> None:
        self.limits = limits or TransferLimits()
        self.support_address = support_address
        self._service = service
        self._hub = hub
        self._clock = service.clock
        self._path = path
        self._folder = BundleFolder(path)
        self._records: dict[str, BundleRecord] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._analysing = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Goes on with what a stop or a kill of the console interrupted."""
        for record in await asyncio.to_thread(self._folder.load):
            self._records[record.id] = record
        for record in list(self._records.values()):
            if not record.over:
                self._start(record)
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """What is under way goes on at the next start."""
        tasks = [*self._running.values(), *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, actor: Actor, gateway_id: str, *, pseudonyms: bool = False) -> BundleView:
        """Raises TryAgain (`gateway-away`), Conflict (`bundle-under-way`), ResourcesMissing. Audited."""
        gateway = await self._service.gateways.get(actor, gateway_id)
        require(actor, Action.DOWNLOAD_LOGS, gateway)
        if not self._hub.connected(gateway_id):
            raise not_connected()
        under_way = next((one for one in self._records.values() if one.gateway_id == gateway_id and not one.over), None)
        if under_way is not None:
            raise Conflict(
                "A bundle of this gateway is on its way.",
                "bundle-under-way",
                [f"asked for by {under_way.asked_by}, {under_way.state.value}"],
                remedy=["Wait for that one."],
                fields={"bundle": under_way.id},
            )
        if shutil.disk_usage(self._path).free < _ROOM_BYTES:
            raise ResourcesMissing(
                "There is no room for a bundle on the console's disk.",
                "bundle-not-kept",
                remedy=["Make room on the disk of the console's data folder."],
            )
        now = self._clock.now()
        record = BundleRecord(
            id=str(uuid.uuid4()), gateway_id=gateway_id, asked_at=now, asked_by=actor.email, changed_at=now,
            pseudonyms=pseudonyms,
        )  # fmt: skip
        # Before anything is waited for, so that two who ask at once get one.
        self._records[record.id] = record
        try:
            self._trim(gateway_id)
            self._folder.save(record)
            await whole(self._audit(actor, "bundle-asked", record))
        except BaseException:
            self._remove(record)
            raise
        self._start(record)
        return self._view(record)

    async def of_gateway(self, actor: Actor, gateway_id: str) -> list[BundleView]:
        """The latest first."""
        gateway = await self._service.gateways.get(actor, gateway_id)
        require(actor, Action.DOWNLOAD_LOGS, gateway)
        return [self._view(record) for record in self._of(gateway_id)]

    async def get(self, actor: Actor, bundle_id: str) -> BundleView:
        """Raises NotFound also when its gateway is gone."""
        require(actor, Action.DOWNLOAD_LOGS)
        record = self._records.get(bundle_id)
        if record is None:
            raise _unknown(bundle_id)
        require(actor, Action.DOWNLOAD_LOGS, await self._service.gateways.get(actor, record.gateway_id))
        return self._view(record)

    async def archive(self, actor: Actor, bundle_id: str) -> tuple[Path, str]:
        """The file, and the name to give it. Audited. Raises Conflict until it is ready."""
        view = await self.get(actor, bundle_id)
        record = self._records[bundle_id]
        if record.state is not BundleState.READY:
            raise Conflict("This bundle is not ready.", "bundle-not-ready", [f"it is {record.state.value}"])
        await whole(self._audit(actor, "bundle-downloaded", record))
        return self._folder.archive(bundle_id), view.name

    async def forget(self, gateway_id: str) -> None:
        """All of a gateway, what is under way too."""
        for record in self._of(gateway_id):
            if task := self._running.get(record.id):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            self._remove(record)

    def _start(self, record: BundleRecord) -> None:
        transfer = Transfer(
            record, self._folder, self._hub, self._clock, self._analysing, self._teller(record), self.limits
        )
        task = self._running[record.id] = asyncio.create_task(transfer.run())
        task.add_done_callback(lambda done: self._running.pop(record.id, None))

    def _teller(self, record: BundleRecord) -> Callable[[], None]:
        last: tuple[BundleState | None, float] = (None, 0.0)

        def tell() -> None:
            nonlocal last
            now = self._clock.monotonic()
            if record.state is not last[0] or now - last[1] >= _TELL_SECONDS:
                last = (record.state, now)
                self._service.streams.notify(record.gateway_id, Topic.STATUS)

        return tell

    def _of(self, gateway_id: str) -> list[BundleRecord]:
        mine = [record for record in self._records.values() if record.gateway_id == gateway_id]
        return sorted(mine, key=lambda record: record.asked_at, reverse=True)

    def _trim(self, gateway_id: str) -> None:
        for record in self._of(gateway_id)[KEPT_OF_GATEWAY:]:
            self._remove(record)
        over = sorted((one for one in self._records.values() if one.over), key=lambda one: one.asked_at)
        stored = sum(one.size or 0 for one in self._records.values())
        for record in over:
            if stored + MAXIMUM_BUNDLE_BYTES <= KEPT_BYTES:
                break
            stored -= record.size or 0
            self._remove(record)

    async def _sweep(self) -> None:
        """Removes what is too old, and what is left of gateways that were deleted."""
        while True:
            for gateway_id in {record.gateway_id for record in self._records.values()}:
                async with self._service.database.read() as session:
                    there = await session.get(Gateway, gateway_id) is not None
                if not there:
                    await self.forget(gateway_id)
            for record in list(self._records.values()):
                if record.over and self._clock.now() - record.asked_at > KEPT:
                    self._remove(record)
            await self._clock.sleep(_SWEEP_SECONDS)

    def _remove(self, record: BundleRecord) -> None:
        self._records.pop(record.id, None)
        self._folder.remove(record.id)

    async def _audit(self, actor: Actor, action: str, record: BundleRecord) -> None:
        async with self._service.database.write() as session:
            gateway = await session.get(Gateway, record.gateway_id)
            audit(session, self._clock.now(), actor, action, gateway, bundle=record.id, pseudonyms=record.pseudonyms)

    def _view(self, record: BundleRecord) -> BundleView:
        return BundleView(**dict(record), name=bundle_name(record.asked_at), support_address=self.support_address)


def _unknown(bundle_id: str) -> NotFound:
    return NotFound(
        "There is no such bundle.",
        "bundle-unknown",
        cause=f"Bundles are kept for {KEPT.days} days, the last {KEPT_OF_GATEWAY} of each gateway.",
        remedy=["Ask for a new one."],
    )
