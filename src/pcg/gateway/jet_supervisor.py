"""The installer's own jet: a real child process from bootstrap on, restarted under Kubernetes' policy.

It gets the token file as soon as the console sends a token for what it wants run; before, it crash-loops as jet does on
every gateway that is not configured (seed), and that is told as an expected notice. Made by the agent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

from pcg.clock import Clock
from pcg.diagnosis.facts import JetFact
from pcg.errors import InvalidInput
from pcg.gateway.identity import StateDirectory
from pcg.gateway.jet import REGISTERED_LINE
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import Event
from pcg.model.states import Severity
from pcg.network.proxies import NO_PROXIES, Proxies
from pcg.processes.child import module_command
from pcg.processes.supervised import Supervised
from pcg.sealing.boxes import open_sealed
from pcg.sealing.keys import GatewayKeys

COMMAND = module_command("pcg.cli.main", "jet")

_TOLD = "installer-jet"
"""memory: the state that the last event told, so that a restarted gateway does not tell it again"""

_EVENTS = {
    "back-off": ("JetBackOff", Severity.INFO, "Jet is in CrashLoopBackOff; expected until the gateway is configured."),
    "ready": ("JetReady", Severity.INFO, "Jet has registered with the console and is healthy."),
    "refused": ("JetTokenUnreadable", Severity.WARNING, "Jet's sealed token cannot be opened with this gateway's key."),
}


class JetSupervisor:
    """`fact` is what diagnosis looks at; `on_change` is told whenever it may have changed."""

    def __init__(
        self,
        *,
        endpoint: str,
        state: StateDirectory,
        keys: GatewayKeys,
        store: GatewayStore,
        clock: Clock,
        speed: float = 1.0,
        proxies: Proxies = NO_PROXIES,
        name_servers: str | None = None,
    ) -> None:
        self._state = state
        self._keys = keys
        self._store = store
        self._clock = clock
        self._newest = (0, 0)
        self._ready = False
        self._since = clock.now()
        self._listener: Callable[[], None] = lambda: None
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        environment |= {
            "PCG_ENDPOINT": endpoint,
            "PCG_CA_FILE": str(state.jet_ca),
            "PCG_JET_TOKEN_FILE": str(state.jet_token),
            "PCG_JET_PLACE": "installer",
            **proxies.environment(),
            **({"PCG_NAME_SERVERS": name_servers} if name_servers else {}),
        }
        self._child = Supervised(
            COMMAND,
            environment=environment,
            clock=clock,
            speed=speed,
            on_line=self._heard,
            on_change=self._changed,
        )

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    async def run(self) -> NoReturn:
        await self._child.run()

    def want(self, desired: DesiredState) -> None:
        """Give or take the token. An older desired state than one seen before changes nothing."""
        order = (desired.incarnation, desired.generation)
        if order < self._newest:
            return
        self._newest = order
        token = self._open(desired.jet_token) if desired.mode == "run" and desired.jet_token else None
        if token != self._state.read_jet_token():
            self._ready = False
            self._state.put_jet_token(token)
            self._child.restart()

    def fact(self) -> JetFact:
        return JetFact(
            place="installer",
            restarts=self._child.restarts,
            back_off=self._child.back_off,
            since=self._since,
            words=[line[:512] for line in self._child.words],
            ready=self._ready,
            last_exit=self._child.last_exit,
        )

    def _open(self, sealed: str) -> bytes | None:
        try:
            return open_sealed(self._keys.opening, sealed)
        except InvalidInput:
            self._tell("refused")
            return None

    def _heard(self, line: str) -> None:
        if line.startswith(REGISTERED_LINE):
            self._ready = True
            self._changed()
        else:
            self._listener()

    def _changed(self) -> None:
        if self._child.back_off:
            self._ready = False
        told = "back-off" if self._child.back_off else "ready" if self._ready else ""
        if told:
            self._tell(told)
        self._listener()

    def _tell(self, told: str) -> None:
        """One event a change, however often it restarts in between."""
        if self._store.get(_TOLD) == told:
            return
        self._since = self._clock.now()
        reason, severity, message = _EVENTS[told]
        with self._store.transaction():
            self._store.put(_TOLD, told)
            self._store.append(Event(at=self._since, severity=severity, reason=reason, message=message))
