"""Start reading here: the life of a gateway, from its first start to its end, in the order in which it happens.

    check     what was typed, before any network call                       installer.py
    lock      its state directory, keys made at the first start             identity.py, store.py
    jet       the installer's own jet, from bootstrap on                    jet_supervisor.py
    register  by pairing code, tried again until the console's word         bootstrap.py, bootstrap_steps.py
    bring     what the console's release lists                              artifacts.py
    live      the session with the console, by the CAs that it tells        session.py, connection.py, console_trust.py
              over a WebSocket or by long polling                           dialing.py
              what the console asks                                         requests.py, answers.py, bundle_answer.py
              the reconciler that does what the console wants               reconciler.py, steps/
              the observation that is told back, findings included          observation.py, open_findings.py
              what hinders it on its way to the console, kept on the spot   console_way.py, own_findings.py
    end       stopped (0), deleted and wiped (0), or a final no (Refused)

Called by `pcg install`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from pcg.clock import Clock
from pcg.clouds.table import cloud_of
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.errors import PcgError, Refused
from pcg.gateway import answers, bootstrap
from pcg.gateway.artifacts import Artifacts
from pcg.gateway.bootstrap_steps import BootstrapStep, BootstrapSteps
from pcg.gateway.bundle_answer import BundleAnswer
from pcg.gateway.connection import Party
from pcg.gateway.console_trust import ConsoleTrust
from pcg.gateway.console_way import ConsoleWay
from pcg.gateway.dialing import Dialer
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installation import installation_of
from pcg.gateway.installer import InstallSettings, Plan, check
from pcg.gateway.jet_supervisor import JetSupervisor
from pcg.gateway.observation import Observation
from pcg.gateway.open_findings import OpenFindings
from pcg.gateway.own_findings import OwnFindings
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.session import Session
from pcg.gateway.signs_of_life import SignsOfLife
from pcg.gateway.steps.outcome import JetEndpoint
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import Event, GatewayStatus
from pcg.network.endpoint import TRAILING_SLASH
from pcg.network.proxies import without_credentials
from pcg.sealing.keys import GatewayKeys, fingerprint
from pcg.wire import frames
from pcg.wire.release import JET_MANIFEST, Release

Say = Callable[[str], None]

LOOK_AT_RELEASE_SECONDS = 86_400.0


async def run_gateway(settings: InstallSettings, *, clock: Clock, say: Say | None = None) -> int:
    """Run until stopped by SIGTERM or SIGINT (0) or deleted in the console (0).

    Raises InvalidInput before any network call, and Refused for the console's final no (exit code 4).
    """
    say = say or _say
    plan = check(settings)
    for notice in plan.notices:
        say(f"note: {notice}")
    state = StateDirectory(plan.state)
    with state.locked():
        if state.half_wiped():
            state.wipe()
            say("this gateway was deleted: the rest of its keys is wiped now")
        if _stays_deleted(plan, state):
            say("the gateway that was here was deleted in the console; another one needs a new pairing code")
            return 0
        life = SignsOfLife(plan.state, plan.endpoint.url, clock)
        try:
            ending = await _until_stopped(_live(plan, state, clock, say, life))
            if ending is None:
                life.end(None)
                say("stopped")
                return 0
            return _end(ending, state, say)
        except PcgError as error:
            life.end(error)
            raise


def _stays_deleted(plan: Plan, state: StateDirectory) -> bool:
    """Whether this is the start of a deleted gateway again, as a supervisor does it, and not of another one."""
    used = state.deleted_gateway()
    if used is None:
        return False
    if plan.code is None or bootstrap.pairing_public_key(plan.code) == used:
        return True
    state.begin_anew()
    return False


async def _live(
    plan: Plan, state: StateDirectory, clock: Clock, say: Say, life: SignsOfLife
) -> frames.Superseded | frames.Farewell:
    keys = state.keys()
    state.begin(installation_of(plan))
    life.fingerprint = fingerprint(keys.public_signing, keys.public_sealing)
    say(f"this gateway's fingerprint: {life.fingerprint}")
    with closing(GatewayStore(state.database)) as store:
        jet = JetSupervisor(
            endpoint=plan.endpoint.url,
            proxies=plan.proxies,
            name_servers=plan.name_servers,
            state=state,
            keys=keys,
            store=store,
            clock=clock,
            speed=plan.jet_speed,
        )
        way, own = ConsoleWay(clock), OwnFindings(plan.state, clock)
        look = partial(_look, way, jet, own, clock)
        way.on_change(look)
        jet.on_change(look)
        for notice in plan.notices:
            if notice == TRAILING_SLASH:
                way.normalised("endpoint-trailing-slash", notice)
        steps = BootstrapSteps(clock, say, store.append, way, plan.overdue_after)
        life.bootstrap = steps.reports
        async with _beside(jet.run(), life.beat()):
            registration = await _registered(plan, state, keys, store, clock, steps)
            way.registered()
            trust = ConsoleTrust(state, registration, store, clock, steps.note)
            artifacts = Artifacts(state.artifacts, plan.endpoint.url, registration, plan.proxies, clock)
            return await _work(plan, trust, keys, state, store, jet, artifacts, clock, steps, life, way, own)


def _look(way: ConsoleWay, jet: JetSupervisor, own: OwnFindings, clock: Clock) -> None:
    """What is found before there is anything to reconcile."""
    nothing = GatewayStatus(generation=0, incarnation=0)
    own.keep(diagnose(Facts(clock.now(), nothing, [jet.fact()], way.fact()), own.present))


async def _registered(
    plan: Plan, state: StateDirectory, keys: GatewayKeys, store: GatewayStore, clock: Clock, steps: BootstrapSteps
) -> Registration:
    """The registration on disk, or a new one: at the first start, with lost keys, or with another pairing code."""
    known = state.registration()
    if known is not None and known.signing_key == keys.public_signing:
        if plan.code is None or bootstrap.pairing_public_key(plan.code) == known.pairing_key:
            bootstrap.check_same_console(plan, known)
            steps.note(f"registered already as {known.gateway_name} ({known.gateway_id})")
            steps.known(
                "at an earlier start",
                BootstrapStep.NETWORK,
                BootstrapStep.TIME,
                BootstrapStep.CONSOLE_REACHED,
                BootstrapStep.REGISTERED,
            )
            _tell_registered(plan, known, store, clock)
            return known
        steps.note("another pairing code than the one used was given: registering with it")
    through = plan.proxies.proxy_for(plan.endpoint.url)
    steps.note(f"registering at {plan.endpoint.url}" + (f" through {without_credentials(through)}" if through else ""))
    async with _beside(steps.watch_overdue()):
        registration = await bootstrap.register(plan, keys, clock, steps)
    state.register(registration)
    _tell_registered(plan, registration, store, clock)
    steps.note(f"registered as {registration.gateway_name} ({registration.gateway_id})")
    return registration


def _tell_registered(plan: Plan, registration: Registration, store: GatewayStore, clock: Clock) -> None:
    """One event a registration, also when the process was killed between the two files."""
    if store.get("registered") == registration.pairing_key:
        return
    message = f"The installer {plan.installer_name} registered."
    with store.transaction():
        store.put("registered", registration.pairing_key)
        store.append(Event(at=clock.now(), reason="Registered", message=message))


async def _work(
    plan: Plan,
    trust: ConsoleTrust,
    keys: GatewayKeys,
    state: StateDirectory,
    store: GatewayStore,
    jet: JetSupervisor,
    artifacts: Artifacts,
    clock: Clock,
    steps: BootstrapSteps,
    life: SignsOfLife,
    way: ConsoleWay,
    own: OwnFindings,
) -> frames.Superseded | frames.Farewell:
    """Session and reconciler side by side, until the console ends it for good."""
    registration = trust.registration
    reconciler = Reconciler(
        gateway_id=registration.gateway_id,
        gateway_name=registration.gateway_name,
        jet=JetEndpoint(url=plan.endpoint.url, ca_pem=registration.ca),
        keys=keys,
        store=store,
        clock=clock,
        cloud_of=lambda kind: cloud_of(kind, plan.proxies),
    )
    dialer = Dialer(
        lambda: trust.open_session(plan.endpoint, plan.proxies),
        lambda: trust.open_polling(plan.endpoint, plan.proxies),
        clock,
        store.append,
        plan.try_upgrade_after,
    )
    observation = Observation(
        reconciler,
        lambda: [jet.fact()],
        diagnose,
        clock,
        OpenFindings(store, clock),
        lambda status: dialer.condition(trust.confirmed(status)),
        way.fact,
    )
    way.on_change(observation.changed)
    dialer.on_change(lambda: way.by_polling(dialer.blocked()))

    def want(desired: DesiredState) -> None:
        if trust.want(desired):
            reconciler.jet = replace(reconciler.jet, ca_pem=trust.registration.ca)
            artifacts.trust(trust.registration)
            observation.changed()
        reconciler.want(desired)
        jet.want(desired)

    bundle = BundleAnswer(state, clock)
    party = Party(
        gateway_id=registration.gateway_id,
        console_id=registration.console_id,
        identity_key=registration.identity_key,
        keys=keys,
        store=store,
        clock=clock,
        status=observation,
        want=want,
        requests=answers.requests_of(reconciler, bundle.answer),
    )
    session = Session(party, dialer, say=steps.note, outcome=dialer, way=way)
    jet.on_change(observation.changed)
    life.status, life.connected = observation.status, lambda: session.connected
    async with _beside(
        _manage(reconciler, artifacts, session, clock, steps),
        observation.run(),
        observation.keep(own.keep),
        dialer.run(),
        bundle.run(),
    ):
        return await session.run()


async def _manage(
    reconciler: Reconciler, artifacts: Artifacts, session: Session, clock: Clock, steps: BootstrapSteps
) -> None:
    """Nothing is made before the release is here; the session is up meanwhile, and tells how far it has come."""
    release = artifacts.known()
    fresh = release is None
    if release is None:
        release = await artifacts.bring(steps)
    else:
        steps.known("at an earlier start", BootstrapStep.RELEASE_MANIFEST, BootstrapStep.ARTIFACTS)
    _use(release, reconciler, artifacts)
    steps.begin(BootstrapStep.MANAGER)
    steps.done(f"session and reconciler run, release {release.version}")
    async with asyncio.TaskGroup() as group:
        group.create_task(reconciler.run())
        group.create_task(_stay_fresh(reconciler, artifacts, session, clock, steps, brought=fresh))


async def _stay_fresh(
    reconciler: Reconciler,
    artifacts: Artifacts,
    session: Session,
    clock: Clock,
    steps: BootstrapSteps,
    *,
    brought: bool,
) -> None:
    """A release that was here already is looked at again once the console is there, and then every day."""
    while True:
        if brought:
            await clock.sleep(LOOK_AT_RELEASE_SECONDS)
        await session.was_connected.wait()
        # Lines without events: most of these looks find nothing new.
        _use(await artifacts.bring(BootstrapSteps(clock, steps.note)), reconciler, artifacts)
        brought = True


def _use(release: Release, reconciler: Reconciler, artifacts: Artifacts) -> None:
    manifest = artifacts.read(release, JET_MANIFEST)
    if manifest is not None:
        reconciler.jet = replace(reconciler.jet, template=manifest.decode(errors="replace"))


def _end(ending: frames.Superseded | frames.Farewell, state: StateDirectory, say: Say) -> int:
    if isinstance(ending, frames.Superseded):
        raise Refused(
            "Another process of this gateway has taken over; this one has stopped acting.",
            reason="superseded",
            evidence=[f"the console has given term {ending.term} to it"],
            remedy=["Keep the other one. To use this one instead, stop the other and start this again."],
        )
    if ending.reason == "revoked":
        raise Refused(
            "The console has revoked this gateway's keys.",
            reason="revoked",
            remedy=["Another installer was paired for this gateway; to use this one, pair it again with a new code."],
        )
    state.wipe()
    say("this gateway was deleted in the console: its keys are wiped, nothing is left to do")
    return 0


@asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run `works`, which never end by themselves, beside the body, and cancel them after it. One failing ends all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as several:
        # One error is the rule; then a person shall read it, not the group round it.
        if len(several.exceptions) == 1:
            raise several.exceptions[0] from None
        raise


async def _until_stopped(
    life: Coroutine[Any, Any, frames.Superseded | frames.Farewell],
) -> frames.Superseded | frames.Farewell | None:
    """The ending, or None when SIGTERM or SIGINT came first."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    living, stopping = asyncio.create_task(life), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({living, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            return living.result()
        return None
    finally:
        for task in (living, stopping):
            task.cancel()
        with suppress(asyncio.CancelledError, PcgError):
            await living
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
