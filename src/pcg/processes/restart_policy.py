"""Kubernetes' back-off for containers that end again and again, as a pure rule.

Source: "Pod Lifecycle, Container restart policy": 10 s, doubling to a cap of 5 min, reset after 10 min of running.
Used by `supervised.py` (the installer's own jet) and by the simulated kubelet.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SECONDS = 10.0
CAP_SECONDS = 300.0
RESET_AFTER_SECONDS = 600.0


@dataclass
class RestartPolicy:
    """`speed` divides every time: a simulated data center lives faster than we do."""

    speed: float = 1.0
    _next: float = 0.0

    def delay(self, ran_for: float) -> float:
        """Seconds until the next start of what has just ended after `ran_for` seconds. The first restart is at once."""
        if ran_for * self.speed >= RESET_AFTER_SECONDS:
            self._next = 0.0
        wait = self._next
        self._next = min(self._next * 2, CAP_SECONDS) if self._next else FIRST_SECONDS
        return wait / self.speed

    def forget(self) -> None:
        """What caused the ends is gone: the next restart is at once."""
        self._next = 0.0
