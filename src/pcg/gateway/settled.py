"""Whether everything was found done, for exactly the machines that are there, and not long ago: then the cluster itself
need not be asked again. No cloud tells what happens inside it, so from time to time it is. Kept by the reconciler.
"""

from __future__ import annotations

from collections.abc import Iterable

from pcg.clock import Clock
from pcg.clouds.base import ObservedMachine
from pcg.gateway.memory import Memory
from pcg.gateway.rest import LOOK_AGAIN_SECONDS, Rest
from pcg.gateway.steps_ledger import Ledger
from pcg.model.states import StepName


class Settled:
    """`machine_speed` as in `Progress`."""

    def __init__(self, memory: Memory, ledger: Ledger, clock: Clock, machine_speed: float) -> None:
        self._memory = memory
        self._ledger = ledger
        self._clock = clock
        self._patience = LOOK_AGAIN_SECONDS / machine_speed
        self._seen_well_at: float | None = None
        """monotonic seconds at which everything was last found done"""

    @property
    def is_remembered(self) -> bool:
        """By this very process: the memory of an earlier one may be older than what is under way."""
        return bool(self._memory.cluster.settled) and self._seen_well_at is not None

    def holds(self, machines: Iterable[ObservedMachine]) -> bool:
        return (
            self._seen_well_at is not None
            and self._clock.monotonic() - self._seen_well_at < self._patience
            and all(self._ledger.is_done(name) for name in StepName)
            and self._memory.cluster.settled == _fingerprint(machines)
        )

    def settle(self, machines: Iterable[ObservedMachine]) -> None:
        """To be called within the transaction that tells of it."""
        self._seen_well_at = self._clock.monotonic()
        self._memory.cluster.settled = _fingerprint(machines)
        self._memory.save_cluster()

    def unsettle(self) -> None:
        """Likewise."""
        self._memory.cluster.settled = ""
        self._memory.save_cluster()

    @property
    def rest(self) -> Rest:
        """Until the cluster is to be asked again."""
        return Rest(self._patience)


def _fingerprint(machines: Iterable[ObservedMachine]) -> str:
    return "; ".join(sorted(f"{item.id} {item.instance} {item.power} {item.address}" for item in machines))
