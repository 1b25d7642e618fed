"""What the gateway tells the console of itself: its machines' states as they grow, conditions, and what is wanted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pcg.clock import LoopClock
from pcg.clouds.base import ObservedMachine, PowerState
from pcg.gateway.memory import Memory, Slot
from pcg.gateway.status import compose_status
from pcg.gateway.steps_ledger import Ledger
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus
from pcg.model.states import MachineState, Severity, StepName, StepState
from unit.gateway.reconciler.life import MoodyCloud, living
from unit.gateway.reconciler.making import GATEWAY, NAME, THREE, machine, name_of

pytestmark = pytest.mark.looptime

OURS = "127.64.0.10"


def composed(
    folder: Path, *observed: ObservedMachine, mode: str = "run", joined: bool = False, **slot: str
) -> GatewayStatus:
    store = GatewayStore(folder / "gateway.db")
    memory, clock = Memory(store), LoopClock()
    ledger = Ledger(store, memory, clock)
    # As a reset does, `idle` begins an incarnation of which there is no machine yet.
    incarnation = 2 if mode == "idle" else 1
    memory.save_desired(DesiredState(generation=1, incarnation=incarnation, mode=mode))  # type: ignore[arg-type]
    memory.cluster.incarnation = incarnation
    if slot:
        memory.cluster.slots.append(Slot(ordinal=1, kind="init", **slot))  # type: ignore[arg-type]
    ledger.begin_generation(1, keep=False)
    if joined:
        ledger.done(StepName.NODES)
    times = {"clean_for": None, "cleaning_since": None, "lost_since": None}
    try:
        return compose_status(memory, ledger, observed, clock, gateway_id=GATEWAY, gateway_name=NAME, **times)
    finally:
        store.close()


@pytest.mark.parametrize(
    "seen,joined,state",
    [
        (machine(1, power=PowerState.OFF), False, MachineState.STARTING),
        (machine(1), False, MachineState.BOOTING),
        (machine(1, address=OURS), False, MachineState.BOOTING),
        (machine(1), True, MachineState.BOOTING),
        (machine(1, address=OURS), True, MachineState.READY),
        (machine(1, incarnation=0, address=OURS), True, MachineState.DELETING),
        (machine(1, incarnation=2, address=OURS), True, MachineState.READY),
    ],
)
async def test_a_machines_state_follows_what_the_cloud_reports(
    tmp_path: Path, seen: ObservedMachine, joined: bool, state: MachineState
) -> None:
    (report,) = composed(tmp_path, seen, joined=joined).machines
    assert (report.name, report.state, report.instance) == (seen.name, state, seen.instance)


@pytest.mark.parametrize("mode", ["idle", "delete"])
async def test_while_nothing_is_wanted_every_machine_is_on_its_way_out(tmp_path: Path, mode: str) -> None:
    status = composed(tmp_path, machine(1, address=OURS), mode=mode, joined=True)
    assert [report.state for report in status.machines] == [MachineState.DELETING]
    assert status.steps == []


async def test_a_machine_being_made_is_reported_before_the_cloud_lists_it(tmp_path: Path) -> None:
    (report,) = composed(tmp_path, phase="creating").machines
    assert (report.name, report.state, report.address) == (name_of(1), MachineState.CREATING, None)


async def test_a_machine_that_the_cloud_lists_is_not_reported_twice(tmp_path: Path) -> None:
    (report,) = composed(tmp_path, machine(1, power=PowerState.OFF), phase="creating").machines
    assert report.state is MachineState.STARTING


async def test_the_lost_machine_of_a_lost_cluster_is_reported(tmp_path: Path) -> None:
    (report,) = composed(tmp_path, phase="lost").machines
    assert report.state is MachineState.LOST


async def test_before_anything_is_wanted_the_ten_steps_wait(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await asyncio.sleep(1)
        assert life.status.generation == 0
        assert [step.state for step in life.status.steps] == [StepState.WAITING] * 10
        assert life.cloud.asked == []


async def test_machines_grow_side_by_side_through_all_their_states(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure(THREE)
        seen: list[list[MachineState]] = []
        revision = 0
        while not life.running():
            revision = await life.reconciler.wait_status_changed(revision)
            states = [report.state for report in life.status.machines]
            if states and states not in seen:
                seen.append(states)
        together = [[state] * 3 for state in ("creating", "starting", "booting", "ready")]
        assert [states for states in together if states in seen] == together


async def test_steps_are_told_as_they_begin_and_not_only_when_they_end(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        tasks = set()
        revision = 0
        while not life.running():
            revision = await life.reconciler.wait_status_changed(revision)
            tasks |= {step.task for step in life.status.steps if step.state is StepState.RUNNING}
        assert {"importing the node image node", f"making {name_of(1)}", f"starting {name_of(1)}"} <= tasks


async def test_container_manager_is_told_before_the_import_and_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        reasons = [event.reason for event in life.events()]
        before_the_import = life.events()[reasons.index("TemplateImporting") - 1]
        assert before_the_import.message == "Created container manager"
        assert reasons.count("ContainerManagerCreated") == 1


async def test_an_older_generation_is_ignored_and_told(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        life.want()
        newest = life.desired
        life.reconciler.want(newest.model_copy(update={"generation": 1, "mode": "delete"}))
        assert life.reconciler.desired == newest
        (event,) = [event for event in life.events() if event.reason == "DesiredStateIgnored"]
        assert event.severity is Severity.WARNING
        await life.until(life.running)


async def test_an_older_incarnation_is_ignored_whatever_its_generation(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        life.reset()
        newest = life.desired
        life.reconciler.want(newest.model_copy(update={"generation": 99, "incarnation": 1, "mode": "run"}))
        assert life.reconciler.desired == newest


async def test_the_same_wanted_again_is_harmless(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        await asyncio.sleep(1)
        before = (life.events(), len(life.cloud.asked))
        life.reconciler.want(life.desired)
        await asyncio.sleep(60)
        assert (life.events(), len(life.cloud.asked)) == before


async def test_what_is_wanted_outlives_the_process_and_needs_no_console(tmp_path: Path) -> None:
    cloud = MoodyCloud()
    async with living(tmp_path, cloud) as life:
        life.configure()
    async with living(tmp_path, cloud) as again:
        await again.until(again.running)


async def test_a_new_generation_of_a_running_gateway_makes_no_new_machine(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure()
        await life.until(life.running)
        before = [item.id for item in life.ours()]
        life.configure()
        await life.until(life.running)
        assert [item.id for item in life.ours()] == before
        assert life.told("GatewayRunning") == 2
