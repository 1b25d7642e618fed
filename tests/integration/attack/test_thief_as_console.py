"""A thief who has the console's identity key and the gateway's network: to the gateway he is the console. In simulated
time, with the gateway's true connection, reconciler and answers.

What holds even then: no password leaves the gateway, whatever he sends. What does not: he commands it (the last test).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from doubles.console import ConsoleDouble
from integration.attack.searching import found_in
from pcg.clouds.base import Login
from pcg.gateway.answers import requests_of
from pcg.gateway.connection import Party
from pcg.gateway.identity import StateDirectory
from pcg.gateway.jet_supervisor import JetSupervisor
from pcg.gateway.session import Session
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.model.states import StepName
from pcg.sealing import encoding
from pcg.sealing.boxes import seal_credentials
from pcg.wire import frames
from simulated_time import HASTE
from unit.gateway.reconciler.life import Life, MoodyCloud, living
from unit.gateway.reconciler.making import DOCUMENT, GATEWAY, KEYS

pytestmark = pytest.mark.looptime(**HASTE)

PASSWORD = "vCenter-Gruyere-42-altogether"


class Cloud(MoodyCloud):
    """Remembers who was told the password."""

    def __init__(self) -> None:
        super().__init__(password=PASSWORD)
        self.told: list[Login] = []

    def connect(self, login: Login) -> Any:
        self.told.append(login)
        return super().connect(login)


@dataclass
class Theft:
    life: Life
    thief: ConsoleDouble
    session: Session
    cloud: Cloud

    async def send(self, state: DesiredState) -> None:
        await self.thief.send(frames.Desired(state=state))
        await asyncio.sleep(120)

    def newer(self, **changes: Any) -> DesiredState:
        known = self.life.reconciler.desired
        assert known is not None
        return known.model_copy(update={"generation": known.generation + 1, **changes})

    def heard(self) -> dict[str, bytes]:
        return {"frames": "\n".join(frames.encode(frame) for frame in self.thief.received).encode()}


@asynccontextmanager
async def theft(folder: Path) -> AsyncIterator[Theft]:
    """A gateway that runs, and whose console has become the thief."""
    thief, cloud = ConsoleDouble(gateway_signing=KEYS.public_signing), Cloud()
    async with living(folder, cloud) as life:
        party = Party(
            gateway_id=GATEWAY,
            console_id=thief.console_id,
            identity_key=encoding.encode(bytes(thief.identity.verify_key)),
            keys=KEYS,
            store=life.store,
            clock=life.reconciler.clock,
            status=life.reconciler,
            want=life.reconciler.want,
            requests=requests_of(life.reconciler),
        )
        session = Session(party, thief.dial)
        running = asyncio.create_task(session.run())
        try:
            life.configure(password=PASSWORD)
            await life.until(life.running)
            await asyncio.sleep(1)
            assert session.connected
            yield Theft(life, thief, session, cloud)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await thief.stop()


async def test_no_answer_event_or_status_bears_the_password(tmp_path: Path):
    async with theft(tmp_path) as scene:
        asked = [
            frames.Request(id="1", verb="preflight"),
            frames.Request(id="2", verb="preflight", arguments={"configuration": DOCUMENT}),
            frames.Request(id="3", verb="inventory"),
            frames.Request(id="4", verb="kubeconfig"),
            frames.Request(id="5", verb="bundle"),
            frames.Request(id="6", verb="inventory", arguments={"path": "../../keys.json", "password": True}),
        ]
        for request in asked:
            await scene.thief.send(request)
        await asyncio.sleep(60)
        answers = {frame.id: frame for frame in scene.thief.of_type(frames.Response)}
        assert set(answers) == {request.id for request in asked}
        # An administrator's kubeconfig of the gateway cluster is given to whoever is the console.
        assert "client-key-data" in answers["4"].body["kubeconfig"]
        assert answers["5"].body["reason"] == "verb-unknown"
        secrets = {
            "password": PASSWORD.encode(),
            "signing key": bytes(KEYS.signing),
            "opening key": bytes(KEYS.opening),
            "seed of the cluster": KEYS.cluster_seed,
        }
        assert found_in(scene.heard(), secrets) == []
        # Another search than for nothing: what was really told is found.
        assert found_in(scene.heard(), {"id": GATEWAY.encode()}) == ["id in frames"]


_ELSEWHERE: list[dict[str, Any]] = [
    {"address": "127.64.0.66"},
    {"address": "127.64.0.2:4443"},
    {"username": "thief"},
    {"trust": {"thumbprint": ":".join(["AB"] * 32)}},
]


@pytest.mark.parametrize("changes", _ELSEWHERE, ids=["address", "port", "account", "trust"])
async def test_the_password_goes_nowhere_but_where_it_was_sealed_for(tmp_path: Path, changes: dict[str, Any]):
    async with theft(tmp_path) as scene:
        machines = [machine.id for machine in scene.life.ours()]
        configuration, _ = parse_configuration({**DOCUMENT, "vcenter": {**DOCUMENT["vcenter"], **changes}})
        await scene.send(scene.newer(configuration=configuration))
        assert scene.life.problem(StepName.VALIDATE_CONFIGURATION) == "credentials-needed"
        problem = scene.life.step(StepName.VALIDATE_CONFIGURATION).last_error
        assert problem is not None
        assert "sealed for another address, trust or account" in problem.what
        assert {(login.address, login.username, login.thumbprint, login.ca) for login in scene.cloud.told} == {
            ("127.64.0.2", "svc", None, None)
        }
        assert [machine.id for machine in scene.life.ours()] == machines
        assert found_in(scene.heard(), {"password": PASSWORD.encode()}) == []


async def test_a_box_of_his_own_leads_only_his_own_password_to_him(tmp_path: Path):
    """The key to seal to is public. He makes the gateway log in at his address, with what he has put in himself."""
    async with theft(tmp_path) as scene:
        configuration, _ = parse_configuration(
            {**DOCUMENT, "vcenter": {"address": "127.64.0.66", "username": "thief"}}
        )  # fmt: skip
        box = seal_credentials(KEYS.public_sealing, GATEWAY, configuration.vcenter, "his own")
        credentials = SealedCredentials(version="thief", ciphertext=box)
        await scene.send(scene.newer(configuration=configuration, credentials=credentials))
        told = {(login.address, login.password) for login in scene.cloud.told}
        assert told == {("127.64.0.2", PASSWORD), ("127.64.0.66", "his own")}


async def test_a_password_that_is_called_jets_token_stays_shut(tmp_path: Path):
    """Jet gives its token to the console: here, and in the cluster, whose kubeconfig the thief can have."""
    async with theft(tmp_path) as scene:
        known = scene.life.reconciler.desired
        assert known is not None
        assert known.credentials is not None
        trick = scene.newer(jet_token=known.credentials.ciphertext)

        state = StateDirectory(tmp_path / "state")
        with state.locked():
            jet = JetSupervisor(
                endpoint="https://127.0.0.1",
                state=state,
                keys=KEYS,
                store=scene.life.store,
                clock=scene.life.reconciler.clock,
            )
            jet.want(trick)
            assert state.read_jet_token() is None

        await scene.send(trick)
        # The step for the cluster's jet looks again after a while.
        await asyncio.sleep(600)
        assert scene.life.problem(StepName.JET_INSTALLED) == "jet-token-missing"
        kept = {name: b" ".join(data.values()) for name, data in scene.cloud.secrets.items()}
        assert found_in({**kept, **scene.heard()}, {"password": PASSWORD.encode()}) == []


async def test_he_commands_it(tmp_path: Path):
    """What a stolen identity costs: every machine of the gateway, and docs/security.md says so."""
    async with theft(tmp_path) as scene:
        assert scene.life.ours()
        await scene.send(scene.newer(mode="idle", incarnation=2))
        await asyncio.sleep(3600)
        assert scene.life.ours() == []
