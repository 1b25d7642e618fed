"""The data center's event log: who did what to which machine, kept on disk. Written by `datacenter.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pcg.clouds.simulated.machines import Machine
from pcg.clouds.simulated.state import State

ADMINISTRATOR = "administrator@vsphere.local"
"""the person beside us, in whose name a lab acts"""
KEPT = 1000
_KIND = "event"


@dataclass(frozen=True)
class LoggedEvent:
    """`kind` is removed, powered-off, reconfigured or copied; `at` in seconds since the epoch."""

    number: int
    at: float
    kind: str
    user: str
    machine: str
    name: str


class EventLog:
    def __init__(self, state: State) -> None:
        self._state = state
        self._events = sorted(
            (LoggedEvent(**document) for document in state.all(_KIND).values()), key=lambda event: event.number
        )

    def write(self, at: float, kind: str, user: str, machine: Machine) -> None:
        number = self._events[-1].number + 1 if self._events else 1
        event = LoggedEvent(number, at, kind, user, machine.id, machine.name)
        with self._state.transaction():
            self._state.put(_KIND, str(number), asdict(event))
            for old in self._events[: max(0, len(self._events) + 1 - KEPT)]:
                self._state.remove(_KIND, str(old.number))
        self._events = [*self._events, event][-KEPT:]

    def about(self, kind: str, machine_id: str, name: str) -> list[dict[str, Any]]:
        """Oldest first; the name decides where the id is not known."""
        return [
            asdict(event)
            for event in self._events
            if event.kind == kind and (event.machine == machine_id if machine_id else event.name == name)
        ]
