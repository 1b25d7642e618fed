"""Waiting for news instead of polling: one property collector over our folders and our running tasks.

Used by `cloud.py`. The wait blocks in the session's own thread for it (WaitForUpdatesEx) and is ended from another one
by CancelWaitForUpdates. Each connection makes a collector of its own, never the session's default one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from pcg.clouds.vsphere import session as sessions
from pcg.clouds.vsphere.faults import WaitCancelled
from pcg.clouds.vsphere.inventory import filter_spec, folders_down, moid, read
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.vmomi import vim, vmodl
from pcg.errors import NotFound, PcgError

MACHINE_NEWS = [
    "name",
    "config.instanceUuid",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "runtime.powerState",
    "guest.ipAddress",
    "guest.toolsRunningStatus",
]
_OVER = ("success", "error")
END_DEADLINE = 5.0
CANCEL_EVERY = 0.25
"""seconds; a cancel that arrives before the wait does is lost, so it is sent until the wait has ended"""


class Changes:
    """What changed about our machines and tasks since the last look."""

    def __init__(self, session: VsphereSession) -> None:
        self._session = session
        self._collector: Any = None
        self._epoch = -1
        self._folders: frozenset[str] = frozenset()
        self._version = ""
        self._tasks: dict[str, Any] = {}
        """filters by task id; None: not made yet"""
        self._waiting: asyncio.Future[bool] | None = None

    def watch_task(self, task_id: str) -> None:
        """From the next wait on, the end of this task is news."""
        self._tasks.setdefault(task_id, None)

    def begin(self, folders: Collection[Any]) -> None:
        """Make sure that everything from now on is noticed. Blocks; costs calls only when the folders are new."""
        names = frozenset(moid(folder) for folder in folders)
        if self._collector is not None and self._epoch == self._session.epoch and names == self._folders:
            return
        self._discard()
        self._epoch = self._session.epoch
        try:
            self._watch_folders(folders)
        except BaseException:
            self._collector = None  # half a watch would look like a whole one
            raise
        self._folders = names

    async def wait(self, timeout: float) -> bool:
        """True when there is news, False after `timeout` seconds. `begin` must have been called."""
        waiting = asyncio.ensure_future(self._session.run_wait(self._wait, time.monotonic() + timeout))
        waiting.add_done_callback(_looked_at)
        self._waiting = waiting
        try:
            await asyncio.wait({waiting}, timeout=timeout)
        finally:
            await asyncio.shield(self.end())
        try:
            return waiting.done() and waiting.result()
        except WaitCancelled:
            return False
        except NotFound:
            self._collector = None  # a folder that we watched is gone: that is news
            return True

    async def end(self) -> None:
        """End the wait under way, if any. Whoever cancels `wait` twice leaves it to the connection's close."""
        waiting = self._waiting
        given_up = time.monotonic() + END_DEADLINE
        while waiting is not None and not waiting.done() and time.monotonic() < given_up:
            try:
                await self._session.run(self._cancel)
            except PcgError:
                pass  # a vCenter that cannot be asked: the wait ends by its own deadline
            await asyncio.wait({waiting}, timeout=CANCEL_EVERY)

    def _watch_folders(self, folders: Collection[Any]) -> None:
        root = vmodl.query.PropertyCollector(moid(self._session.content.propertyCollector), self._session.wait_stub)
        self._collector = root.CreatePropertyCollector()
        self._tasks = dict.fromkeys(self._tasks)
        if folders:
            starts = [(folder, [folders_down()], True) for folder in folders]
            self._collector.CreateFilter(filter_spec(starts, [(vim.VirtualMachine, MACHINE_NEWS)]), True)
        self._take(vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0))

    def _cancel(self) -> None:
        # Over the other connection: the waiting one is busy.
        if self._collector is not None:
            vmodl.query.PropertyCollector(moid(self._collector), self._session.stub).CancelWaitForUpdates()

    def _wait(self, deadline: float) -> bool:
        if self._epoch != self._session.epoch or self._collector is None:
            self._collector = None
            return True  # a new login: nobody watched meanwhile, so have a look
        if self._watch_new_tasks():
            return True
        while True:
            left = deadline - time.monotonic()
            seconds = max(1, min(sessions.WAIT_SECONDS, int(left) + 1))
            if self._take(vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)) is None and left <= 0:
                return False
            if self._news:
                return True

    def _take(self, options: Any) -> str | None:
        """One WaitForUpdatesEx; the new version, or None when nothing came. Leaves in `_news` whether it matters."""
        self._news = False
        first = not self._version
        update = self._collector.WaitForUpdatesEx(self._version, options)
        if update is None:
            return None
        self._version = update.version
        for filtered in update.filterSet:
            for item in filtered.objectSet:
                self._news |= not first and self._matters(item)
        return str(update.version)

    def _matters(self, item: Any) -> bool:
        if not isinstance(item.obj, vim.Task):
            return True
        states = [str(change.val) for change in item.changeSet if change.name == "info.state"]
        over = item.kind == "leave" or any(state in _OVER for state in states)
        if over:
            self._forget_task(moid(item.obj))
        return over

    def _watch_new_tasks(self) -> bool:
        """Filters for tasks that were started since; True when one of them has ended already."""
        new = [task_id for task_id, made in self._tasks.items() if made is None]
        if not new:
            return False
        tasks = [vim.Task(task_id, self._session.wait_stub) for task_id in new]
        for task_id, task in zip(new, tasks, strict=True):
            spec = filter_spec([(task, (), False)], [(vim.Task, ["info.state"])])
            try:
                self._tasks[task_id] = self._collector.CreateFilter(spec, False)
            except vmodl.fault.ManagedObjectNotFound:
                self._forget_task(task_id)  # vCenter has forgotten it, so it is over
                return True
        # It may have ended before its filter was there.
        try:
            found = read(self._session, [(task, (), False) for task in tasks], [(vim.Task, ["info.state"])])
        except vmodl.fault.ManagedObjectNotFound:
            self._tasks.clear()
            return True
        over = [moid(item["object"]) for item in found if str(item.get("info.state")) in _OVER]
        for task_id in over:
            self._forget_task(task_id)
        return bool(over)

    def _forget_task(self, task_id: str) -> None:
        made = self._tasks.pop(task_id, None)
        if made is not None:
            try:
                made.DestroyPropertyFilter()
            except vmodl.MethodFault:
                pass  # gone with its collector

    def _discard(self) -> None:
        if self._collector is not None and self._epoch == self._session.epoch:
            try:
                self._collector.DestroyPropertyCollector()
            except vmodl.MethodFault:
                pass  # gone with its session
        self._collector = None
        self._version = ""


def _looked_at(waiting: asyncio.Future[bool]) -> None:
    """Nobody may be left to fetch the outcome when the waiter itself was cancelled."""
    if not waiting.cancelled():
        waiting.exception()
