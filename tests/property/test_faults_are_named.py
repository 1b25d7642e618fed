"""Each fault of the data center that a drill plays, in simulated time: named, alone, and gone when it is over."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pcg.cli.drilling.drill import Drill, Fault, Stage
from pcg.cli.drilling.scene import Scene
from pcg.cli.drilling.table import all_drills
from pcg.clock import LoopClock
from pcg.clouds.guest.api_servers import Answer
from pcg.clouds.simulated import faults
from pcg.clouds.simulated.lab import CONTROL_PLANE_ADDRESS, PASSWORD
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.gateway.reconciler import Reconciler
from pcg.gateway.steps.outcome import JetEndpoint
from pcg.gateway.store import GatewayStore
from pcg.model.configuration import parse_configuration
from pcg.model.desired import DesiredState, SealedCredentials
from pcg.model.states import StepName, StepState
from pcg.network.knocking import Knock
from pcg.sealing.boxes import seal, seal_credentials
from property.data_center import DataCenterProcess, document
from property.fake_cloud import nothing_is_tried
from property.world import GATEWAY, KEYS, NAME, nobody_answers
from simulated_time import HASTE, MEMORY

pytestmark = pytest.mark.looptime(**HASTE)

KNOCKS = {Answer.OWN: Knock.OPEN, Answer.OTHER: Knock.OPEN, Answer.REFUSED: Knock.REFUSED, Answer.NONE: Knock.SILENT}
DRILLS = {
    key: drill
    for key, drill in all_drills().items()
    if isinstance(drill.trouble, Fault) and drill.trouble.name in faults.FAULTS
}
FOUND_SECONDS, RECOVERED_SECONDS = 1200.0, 1800.0
"""simulated, of a data center as slow as a real one"""


@dataclass
class Place:
    """A gateway before a data center; `seen` is what was ever found."""

    data_center: DataCenterProcess
    reconciler: Reconciler
    drill: Drill
    generation: int = 0
    seen: set[str] = field(default_factory=set)

    def configure(self) -> None:
        self.generation += 1
        wanted = document(self.drill.nodes)
        if self.drill.change is not None:
            self.drill.change(cast(Scene, SimpleNamespace(shared_address=CONTROL_PLANE_ADDRESS)), wanted)
        configuration, _ = parse_configuration(wanted)
        sealed = seal_credentials(KEYS.public_sealing, GATEWAY, configuration.vcenter, PASSWORD)
        self.reconciler.want(
            DesiredState(
                generation=self.generation,
                incarnation=1,
                mode="run",
                configuration=configuration,
                credentials=SealedCredentials(version=str(self.generation), ciphertext=sealed),
                jet_token=seal(KEYS.public_sealing, b"jet-token"),
            )
        )

    def found(self) -> set[str]:
        findings = diagnose(Facts(self.reconciler.clock.now(), self.reconciler.status()))
        keys = {f"{finding.scenario}/{finding.cause}" for finding in findings}
        self.seen |= keys
        return keys

    def state(self, step: StepName) -> StepState | None:
        return next((report.state for report in self.reconciler.status().steps if report.name == step), None)

    def running(self) -> bool:
        return not self.found() and all(self.state(step) is StepState.DONE for step in StepName)

    def reached(self) -> bool:
        if isinstance(self.drill.when, StepName):
            return self.state(self.drill.when) not in (None, StepState.WAITING)
        return self.drill.when is Stage.CONNECTED or self.running()

    async def until(self, goal: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within):
            while not goal():
                await asyncio.sleep(0.5)


@asynccontextmanager
async def place(drill: Drill) -> AsyncIterator[Place]:
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    data_center = DataCenterProcess(folder / "data-center")
    await data_center.start()
    store = GatewayStore(folder / "gateway.db")

    async def knock(address: str, port: int) -> Knock:
        return KNOCKS[data_center.servers.answer(address, port)]

    reconciler = Reconciler(
        gateway_id=GATEWAY,
        gateway_name=NAME,
        jet=JetEndpoint("https://console.example", "CA"),
        keys=KEYS,
        store=store,
        clock=LoopClock(),
        cloud_of=lambda kind: data_center.cloud,
        kubernetes=data_center.kubernetes,
        etcd=data_center.etcd,
        ask_who_has=nobody_answers,
        look_ahead=nothing_is_tried,
        ask_at_port=knock,
    )
    work = asyncio.create_task(reconciler.run())
    try:
        yield Place(data_center, reconciler, drill)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        store.close()
        await data_center.kill()
        shutil.rmtree(folder)


@pytest.mark.parametrize("key", DRILLS)
async def test_a_fault_is_named_alone_and_over_when_it_ends(key: str) -> None:
    drill = DRILLS[key]
    trouble = cast(Fault, drill.trouble)
    async with place(drill) as gateway:
        center = gateway.data_center.center

        def hits() -> int:
            return int(cast(Any, faults.described(center)[trouble.name]["hits"]))

        if drill.when is not Stage.CONNECTED:
            gateway.configure()
            await gateway.until(gateway.reached, RECOVERED_SECONDS)
        assert not gateway.seen
        before = hits()
        faults.switch(center, trouble.name, on=True)
        if drill.when is Stage.CONNECTED:
            gateway.configure()
        await gateway.until(lambda: key in gateway.found(), FOUND_SECONDS)
        assert hits() > before
        faults.switch(center, trouble.name, on=False)
        if trouble.again:
            gateway.configure()
        await gateway.until(gateway.running, RECOVERED_SECONDS)
        assert gateway.seen == {key}


@pytest.mark.parametrize("nodes", [1, 3])
async def test_without_a_fault_nothing_is_found(nodes: int) -> None:
    any_drill = next(drill for drill in DRILLS.values() if drill.change is None)
    async with place(Drill("none", any_drill.kind, any_drill.trouble, nodes=nodes)) as gateway:
        gateway.configure()
        await gateway.until(gateway.running, RECOVERED_SECONDS)
        assert not gateway.seen


def test_every_fault_of_the_data_center_is_played() -> None:
    assert {cast(Fault, drill.trouble).name for drill in DRILLS.values()} == set(faults.FAULTS)
