"""When anything last moved, by which it is judged whether something takes longer than usual. Kept by the reconciler."""

from __future__ import annotations

from collections.abc import Sequence

from pcg.clock import Clock
from pcg.clouds.base import ObservedMachine
from pcg.gateway.steps.outcome import Patience
from pcg.gateway.steps_ledger import Ledger


class Progress:
    """`machine_speed`: how many times faster than real life the cloud's machines are."""

    def __init__(self, ledger: Ledger, clock: Clock, machine_speed: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._machine_speed = machine_speed
        self._shown: list[tuple[object, ...]] = []
        """what of the machines a boot changes"""

    def moved(self) -> None:
        self._ledger.progressed_at = self._clock.monotonic()

    def feel(self, machines: Sequence[ObservedMachine]) -> None:
        """A machine that boots comes further when it shows something new, long before it has an address."""
        shown: list[tuple[object, ...]] = [
            (item.id, item.power, item.connected, item.cluster_tools, item.host_name)
            for item in sorted(machines, key=lambda item: item.id)
        ]
        if shown != self._shown:
            self._shown = shown
            self.moved()

    @property
    def waited(self) -> float:
        """Seconds for which nothing has moved."""
        return self._clock.monotonic() - self._ledger.progressed_at

    @property
    def patience(self) -> Patience:
        return Patience(self.waited, self._machine_speed)
