"""What the gateway does: compare what is wanted with what the cloud reports now, do the next needed thing, come back.

Kill it anywhere and start it again: it finishes, with no machine twice and none left behind. It needs no console: what
is wanted was stored when it came. `_pass` is the whole of it on one screen; made and run by the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NoReturn

from pcg.clock import Clock
from pcg.clouds.base import Check, Cloud, Connection, ObservedMachine
from pcg.clouds.table import cloud_of as table_of_clouds
from pcg.errors import AskPerson, CredentialsRejected, NotFound, PcgError, TryAgain, Unreachable
from pcg.gateway.address_claims import AddressClaims, AskWhoHas
from pcg.gateway.backoff import Backoff
from pcg.gateway.cleaning import Cleaner, sort_out, split, waiting_for
from pcg.gateway.cloud_access import CloudAccess
from pcg.gateway.cluster_keys import ClusterKeys
from pcg.gateway.etcd_api import EtcdFactory, open_etcd
from pcg.gateway.kubernetes_api import KubernetesFactory, open_kubernetes
from pcg.gateway.memory import ClusterMemory, Memory
from pcg.gateway.preflight_checks import preflight_checks
from pcg.gateway.progress import Progress
from pcg.gateway.rest import UNTIL_NEWS, Rest, in_proportion, until_due
from pcg.gateway.settled import Settled
from pcg.gateway.status import compose_status
from pcg.gateway.steps import order
from pcg.gateway.steps.drift import notice_copies
from pcg.gateway.steps.outcome import Done, Failed, JetEndpoint, Outcome, Situation, Wait
from pcg.gateway.steps.validate_configuration import opened_credentials
from pcg.gateway.steps_ledger import Ledger
from pcg.gateway.store import GatewayStore
from pcg.gateway.ways_ahead import LookAhead, ways_ahead
from pcg.model.address_plan import pool_of
from pcg.model.configuration import CloudKind, Configuration
from pcg.model.desired import DesiredState
from pcg.model.drift import Drift
from pcg.model.naming import machine_name, parse_machine_mark
from pcg.model.records import Event, GatewayStatus
from pcg.model.states import Severity, StepName
from pcg.network.address_in_use import address_in_use
from pcg.network.knocking import AskAtPort, knock
from pcg.sealing.keys import GatewayKeys

ASK_AGAIN_SECONDS = 10.0
"""how often it is looked whether a person has helped"""

_KUBERNETES = (StepName.CONTROL_PLANE, StepName.NODES, StepName.JET_INSTALLED, StepName.JET_REGISTERED)

_log = logging.getLogger(__name__)


class Reconciler:
    def __init__(
        self,
        *,
        gateway_id: str,
        gateway_name: str,
        jet: JetEndpoint,
        keys: GatewayKeys,
        store: GatewayStore,
        clock: Clock,
        cloud_of: Callable[[CloudKind], Cloud] = table_of_clouds,
        kubernetes: KubernetesFactory = open_kubernetes,
        etcd: EtcdFactory = open_etcd,
        ask_who_has: AskWhoHas = address_in_use,
        ask_at_port: AskAtPort = knock,
        look_ahead: LookAhead | None = None,
        machine_speed: float = 1.0,
    ) -> None:
        """`machine_speed`: how many times faster than real life the cloud's machines are."""
        self.gateway_id = gateway_id
        self._name = gateway_name
        self.jet = jet
        """what the next pass gives to its steps; the agent changes it when the console's release or CA changes"""
        self._keys = keys
        self.cluster_keys = ClusterKeys(gateway_id, keys.cluster_seed, clock)
        self._store = store
        self.clock = clock
        self._kubernetes = kubernetes
        self._etcd = etcd
        self._knock = ask_at_port
        self._look_ahead = look_ahead or partial(ways_ahead, ask_who_has=ask_who_has)
        self._memory = Memory(store)
        self._ledger = Ledger(store, self._memory, clock)
        self._progress = Progress(self._ledger, clock, machine_speed)
        self._settled = Settled(self._memory, self._ledger, clock, machine_speed)
        self._addresses = AddressClaims(self._memory, clock, ask_who_has, self._name_of)
        self._cleaner = Cleaner()
        self._tries = Backoff(first=1.0, most=15.0)
        self._news = asyncio.Event()
        self._changed = asyncio.Condition()
        self._revision = 0
        self._at = StepName.CONNECT
        """the step at work, beside which an error of the present pass is told"""
        self._access = CloudAccess(cloud_of, self._memory)
        self._observed: list[ObservedMachine] = []
        self._lost_since: datetime | None = None

    # What others call.

    def want(self, desired: DesiredState) -> None:
        """Stored before anything else. The same again is harmless; an older one is ignored, and told."""
        known = self._memory.desired
        if known is not None:
            if desired == known:
                return
            if (desired.incarnation, desired.generation) < (known.incarnation, known.generation):
                self._tell(
                    "DesiredStateIgnored",
                    f"Generation {desired.generation} is older than {known.generation}: ignored.",
                    Severity.WARNING,
                )
                return
        with self._store.transaction():
            self._memory.save_desired(desired)
        self._news.set()

    @property
    def desired(self) -> DesiredState | None:
        return self._memory.desired

    def status(self) -> GatewayStatus:
        return compose_status(
            self._memory,
            self._ledger,
            self._observed,
            self.clock,
            gateway_id=self.gateway_id,
            gateway_name=self._name,
            clean_for=self._cleaner.clean_for,
            cleaning_since=self._cleaner.since,
            lost_since=self._lost_since,
        )

    def drifts(self) -> Sequence[Drift]:
        """What others did to the machines of a wanted cluster and is not mended yet."""
        desired = self._memory.desired
        return list(self._memory.cluster.drifts) if desired is not None and desired.mode == "run" else []

    async def wait_status_changed(self, revision: int) -> int:
        """The present revision, once it is above the given one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._revision > revision)
            return self._revision

    async def run(self) -> NoReturn:
        """Pass after pass, until cancelled. No error ends it."""
        try:
            while True:
                self._news.clear()
                rest = await self._guarded_pass()
                await self._tell_status()
                await until_due(rest, self._news, self._access, self.gateway_id, self.clock, self._tries)
        finally:
            await self._access.close()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """The cloud's connection for answering a request; raises TryAgain while there is none."""
        if self._access.connection is None:
            raise TryAgain(
                "The gateway has no connection to its private cloud now.",
                reason="cloud-not-connected",
                remedy=["Look at the step connect; configure the gateway first if it is pending."],
            )
        yield self._access.connection

    async def preflight(self, configuration: Configuration) -> list[Check]:
        """All that can be known before machines are made. Raises what the cloud raises, TryAgain while away."""
        async with self.connected() as connection:
            desired = self._memory.desired
            assert desired is not None  # else nothing would be connected
            situation = self._standing(desired, configuration)
            situation.connection = connection
            return await preflight_checks(situation)

    @property
    def incarnation(self) -> int:
        """Of the present cluster."""
        return self._memory.cluster.incarnation

    def api_address(self) -> str | None:
        """HOST:PORT of the cluster's API server, once it has answered."""
        desired = self._memory.desired
        if desired is None or desired.configuration is None or not self._memory.cluster.formed:
            return None
        return self._standing(desired, desired.configuration).api_address

    # One pass.

    async def _pass(self) -> Rest:
        self._at = StepName.CONNECT
        desired = self._memory.desired
        if desired is None:
            return UNTIL_NEWS
        self._take_up(desired)
        if desired.mode != "run" or desired.configuration is None:
            return await self._remove_all(desired)
        situation = self._situation(desired, desired.configuration)
        for name, step in {**order.ONCE, **order.ALWAYS}.items():
            self._at = name
            if name is StepName.CONNECT:
                await self._look(situation)
                left = await self._cleaner.sweep(situation)
                if left:
                    self._ledger.run(name, waiting_for(left, situation))
                    return UNTIL_NEWS
            elif name in order.ONCE and self._ledger.is_done(name):
                continue
            if name is StepName.CONTROL_PLANE and self._settled.holds(situation.machines):
                return self._settled.rest
            outcome = await self._take(name, step, situation)
            if isinstance(outcome, Failed):
                raise outcome.error
            if isinstance(outcome, Wait):
                return in_proportion(outcome.retry_after, self._progress.waited)
        with self._store.transaction():
            situation.tell_once(f"running {situation.desired.generation}", "GatewayRunning", "The gateway is running.")
            self._settled.settle(situation.machines)
        return self._settled.rest

    async def _guarded_pass(self) -> Rest:
        try:
            try:
                return await self._pass()
            except PcgError as error:
                return await self._trouble(self._at, error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the gateway goes on and says so
                _log.exception("pass failed")
                return await self._trouble(self._at, _unforeseen(error))
        except Exception:  # noqa: BLE001 - no error ends the gateway
            # Not even the trouble could be written down: the disk is full, or worse. The log is all that is left.
            _log.exception("trouble could not be told")
            return Rest(self._tries.next(), listen=False)

    def _take_up(self, desired: DesiredState) -> None:
        """Begin the steps anew for a new generation, and with a clean memory for a new incarnation."""
        memory = self._memory
        if memory.cluster.incarnation != desired.incarnation:
            with self._store.transaction():
                memory.cluster = ClusterMemory(incarnation=desired.incarnation)
                memory.save_cluster()
                self._ledger.begin_generation(desired.generation, keep=False)
            self._lost_since = None
        elif memory.steps_generation != desired.generation:
            with self._store.transaction():
                self._settled.unsettle()
                self._ledger.begin_generation(desired.generation, keep=True)

    async def _take(self, name: StepName, step: order.Step, situation: Situation) -> Outcome:
        """Run one step, and write down what came of it."""
        if self._ledger.begin(name):
            await self._tell_status()
        outcome = await step(situation)
        with self._store.transaction():
            self._memory.save_cluster()
            if isinstance(outcome, Done):
                changed = self._ledger.done(name)
            elif isinstance(outcome, Wait):
                if self._ledger.is_done(name):
                    self._tell("StepUndone", f"{name} is no longer done: {outcome.task}", Severity.WARNING, step=name)
                    self._ledger.reopen(*(item for item in order.ALWAYS if item != name))
                    self._settled.unsettle()
                changed = self._ledger.run(name, outcome.task, outcome.concern)
            else:
                changed = False
        if changed:
            # Only then: a step that is simply still done says nothing about the one that fails after it.
            self._tries.reset()
            await self._tell_status()
        return outcome

    async def _trouble(self, name: StepName, error: PcgError) -> Rest:
        """An error of a pass: written beside its step, and when it is tried again."""
        if error.reason == "cluster-lost":
            self._lost_since = self._lost_since or self.clock.now()
        with self._store.transaction():
            self._memory.save_cluster()
            if isinstance(error, NotFound) and name is StepName.MACHINES:
                # Something that was there in preflight is not there any more: look at it all again.
                self._ledger.reopen(StepName.PREFLIGHT, StepName.TEMPLATE)
            wait = self._wait_after(error)
            self._ledger.failed(name, error, wait)
        if isinstance(error, CredentialsRejected):
            await self._access.reject()
        elif isinstance(error, Unreachable) and name not in _KUBERNETES:
            await self._access.close()
        return Rest(wait, listen=not isinstance(error, TryAgain))

    def _wait_after(self, error: PcgError) -> float | None:
        if isinstance(error, CredentialsRejected) or error.reason in ("credentials-needed", "cluster-lost"):
            return None
        if isinstance(error, TryAgain):
            return self._tries.next(error.after)
        return ASK_AGAIN_SECONDS

    # The cloud.

    async def _look(self, situation: Situation) -> None:
        """Open or keep the connection; then the one bulk read of the pass, told apart by what each machine is to us."""
        credentials = opened_credentials(situation)
        situation.connection = await self._access.open(situation.configuration.cloud, credentials, situation.desired)
        if not self._settled.is_remembered:
            # Before the bulk read, not after: a machine that is finished in between is in one of both answers.
            situation.unfinished = await situation.connection.unfinished(self.gateway_id)
        observed = await situation.connection.list_machines(self.gateway_id, situation.remembered)
        making = {task.machine_name for task in situation.unfinished if task.kind == "create"}
        self._addresses.look(observed, making, pool_of(situation.configuration.network))
        self._observed, twins, copies = split(observed)
        await notice_copies(situation, copies)
        self._progress.feel(self._observed)
        situation.patience = self._progress.patience
        for twin in twins:
            message = "Two machines have one mark: the younger is removed."
            situation.tell_once(f"twin {twin.id}", "MachineTwin", message, machine=twin.name)
        sort_out(situation, self._observed, twins)

    async def _remove_all(self, desired: DesiredState) -> Rest:
        """No machine is wanted."""
        if desired.configuration is None:
            self._cleaner.clean_for = desired.generation
            return UNTIL_NEWS
        situation = self._situation(desired, desired.configuration)
        try:
            await self._look(situation)
        except AskPerson:
            if self._memory.ever_connected:
                raise
            # The cloud has never let us in, so nothing of ours can be there.
            self._cleaner.clean_for = desired.generation
            return UNTIL_NEWS
        left = await self._cleaner.sweep(situation)
        # No step is shown while nothing is wanted; this takes back what hindered the removal before.
        self._ledger.run(StepName.CONNECT, waiting_for(left, situation) if left else "")
        if not left:
            situation.tell_once(f"clean {desired.generation}", "MachinesRemoved", "No machine of this gateway is left.")
        return UNTIL_NEWS

    # Waiting and telling.

    async def _tell_status(self) -> None:
        async with self._changed:
            self._revision += 1
            self._changed.notify_all()

    def _tell(
        self,
        reason: str,
        message: str,
        severity: Severity = Severity.INFO,
        *,
        machine: str | None = None,
        step: StepName | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        """Commit an event, together with the cluster's memory that it tells of."""
        now = self.clock.now()
        with self._store.transaction():
            self._memory.save_cluster()
            event = Event(at=now, severity=severity, reason=reason, message=message[:4096], machine=machine, step=step)
            self._store.append(event.model_copy(update={"fields": fields or {}}))
        self._progress.moved()

    def _name_of(self, owner: str) -> str:
        mark = parse_machine_mark(owner)
        return machine_name(self.gateway_id, self._name, *mark) if mark else ""

    def _standing(self, desired: DesiredState, configuration: Configuration) -> Situation:
        """With the machines that were seen last; for whoever asks between two passes."""
        situation = self._situation(desired, configuration)
        situation.machines = [
            item for item in self._observed if item.made_as and item.made_as[0] == desired.incarnation
        ]
        return situation

    def _situation(self, desired: DesiredState, configuration: Configuration) -> Situation:
        return Situation(
            gateway_id=self.gateway_id,
            gateway_name=self._name,
            jet=self.jet,
            keys=self._keys,
            clock=self.clock,
            desired=desired,
            configuration=configuration,
            secrets=self.cluster_keys.secrets(desired.incarnation),
            certificate=lambda: self.cluster_keys.own(self.incarnation),
            kubernetes=self._kubernetes,
            etcd=self._etcd,
            etcd_certificate=lambda: self.cluster_keys.for_etcd(self.incarnation),
            cluster=self._memory.cluster,
            addresses=self._addresses,
            patience=self._progress.patience,
            knock=self._knock,
            look_ahead=self._look_ahead,
            tell=self._tell,
            show=self._tell_status,
        )


def _unforeseen(error: Exception) -> TryAgain:
    return TryAgain(
        "The gateway met something that it did not foresee.",
        reason="unexpected",
        # The type alone: the message of an unknown error may hold anything. The log has it all.
        evidence=[type(error).__name__],
        remedy=["Look at the gateway's log, and report what it says."],
    )
