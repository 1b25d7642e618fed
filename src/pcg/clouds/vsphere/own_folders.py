"""In which folders of the vCenter a gateway's machines lie: those it remembers, or those that a look everywhere finds.

Used by `cloud.py` for every bulk read of our machines. A look everywhere reads a little of each machine in the vCenter,
which with ten thousand is megabytes; the folders alone are a few kilobytes a machine of ours. A person may move one
elsewhere, so memory is trusted only while it accounts for every machine, and for a while. Blocks.
"""

from __future__ import annotations

import time
from typing import Any

from pcg.clouds.base import ObservedMachine, Remembered
from pcg.clouds.vsphere import machines
from pcg.clouds.vsphere.changes import Changes
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Survey
from pcg.errors import PcgError

LOOK_EVERYWHERE_EVERY = 900.0
"""seconds; in between only the folders that hold machines of ours are read"""
_NEVER = float("-inf")


class OwnFolders:
    def __init__(self, session: VsphereSession, changes: Changes) -> None:
        self._session = session
        self._changes = changes
        self._folders: set[Any] = set()
        self._looked_everywhere: dict[str, float] = {}
        """monotonic seconds by gateway"""
        self._remembered_since: dict[str, float] = {}
        """the same, of the first look by memory alone"""

    def add(self, folder: Any) -> None:
        """A machine of ours will be made in it."""
        self._folders.add(folder)

    def knows(self, gateway_id: str) -> bool:
        by_memory = self._remembered_since.get(gateway_id, _NEVER) > _NEVER
        return by_memory or gateway_id in self._looked_everywhere

    def look_everywhere_next(self, gateway_id: str) -> None:
        """A machine may appear that nobody remembers, nobody knows where."""
        self._looked_everywhere.pop(gateway_id, None)
        self._remembered_since[gateway_id] = _NEVER

    def forget(self) -> None:
        self._folders.clear()
        self._looked_everywhere.clear()
        self._remembered_since.clear()

    def list_machines(self, gateway_id: str, remembered: Remembered | None) -> list[ObservedMachine]:
        """Raises vCenter's ManagedObjectNotFound when one of the folders is gone."""
        now = time.monotonic()
        looked = self._looked_everywhere.get(gateway_id)
        if looked is None and remembered is not None and remembered.instances:
            found = self._by_memory(gateway_id, remembered, now)
            if found is not None:
                return found
        if looked is None or now - looked > LOOK_EVERYWHERE_EVERY:
            self._folders |= machines.folders_of(self._session, gateway_id)
            self._looked_everywhere[gateway_id] = now
        return self._read(gateway_id)

    def _by_memory(self, gateway_id: str, remembered: Remembered, now: float) -> list[ObservedMachine] | None:
        """None: it is time to look everywhere, or one of them is not where it was."""
        since = self._remembered_since.setdefault(gateway_id, now)
        if now - since > LOOK_EVERYWHERE_EVERY:
            return None
        if since == now and not self._add_remembered(remembered):
            return None
        found = self._read(gateway_id)
        return found if remembered.instances <= {one.instance for one in found if one.genuine} else None

    def _add_remembered(self, remembered: Remembered) -> bool:
        """Whether every folder is still there; two round trips."""
        survey = Survey(self._session)
        try:
            for placement in remembered.placements:
                datacenter = survey.datacenter(placement.datacenter)
                self._folders.add(survey.folder(datacenter, placement.folder, "placement.folder").object)
        except PcgError:
            return False
        return True

    def _read(self, gateway_id: str) -> list[ObservedMachine]:
        self._changes.begin(self._folders)
        return machines.list_machines(self._session, self._folders, gateway_id)
