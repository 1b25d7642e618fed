"""The same on the real simulated data center, its guests and their clusters included; the data center is killed too."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pcg.clock import LoopClock
from pcg.clouds.simulated import faults
from pcg.clouds.simulated.lab import PASSWORD
from pcg.model.states import StepName
from pcg.nodes.manifests import JET_NAMESPACE, JET_SECRET
from pcg.nodes.pki import client_certificate, cluster_secrets
from property.data_center import DataCenterProcess, document
from property.world import GATEWAY, KEYS, World
from simulated_time import MEMORY, new_loop

Story = Callable[[World, DataCenterProcess], Awaitable[None]]


def live(story: Story, nodes: int = 1) -> World:
    folder = Path(tempfile.mkdtemp(dir=MEMORY))

    async def run() -> World:
        data_center = DataCenterProcess(folder / "data-center")
        await data_center.start()
        access = (data_center.cloud, data_center.kubernetes, data_center.etcd, data_center.machines)
        world = World(folder, *access, document(nodes), PASSWORD)
        try:
            await story(world, data_center)
            world.check_events()
            return world
        finally:
            await world.console.stop()
            await data_center.kill()

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(run())
    finally:
        shutil.rmtree(folder)


def provisioned(world: World) -> None:
    assert len(world.ours()) == world.document["nodes"]["count"]
    assert all(machine.address for machine in world.ours())


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_whole_life(nodes: int) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        before = {machine.id for machine in data_center.machines()}
        stranger = data_center.center.life.add_stranger(world.name_of(1)).id
        await world.configure()
        await world.until(world.running)
        # import 15, clone 20, power-on 3, boot and cloud-init 15, kubeadm 24, join 13 for others: news waits for nobody
        assert asyncio.get_running_loop().time() < (85 if nodes == 1 else 100)
        provisioned(world)
        copy = data_center.center.life.copy(world.ours()[0].id).id
        await world.reset()
        await world.until(world.clean)
        await world.configure()
        await world.until(world.running)
        provisioned(world)
        await world.delete()
        await world.until(world.clean)
        assert {machine.id for machine in data_center.machines()} == before | {stranger, copy}

    world = live(story, nodes)
    reasons = [reason for _, _, reason in world.console.events]
    assert reasons.count("GatewayRunning") == 2
    assert reasons.count("TemplateImporting") == 1
    assert reasons.count("MachineNameTaken") == 1


def test_machines_of_a_static_pool_configure_and_tell_the_addresses_that_they_were_given() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        pool = {"subnet": "127.64.0.200/29", "prefix": 24, "gateway": "127.64.0.1"}
        network = {**world.document["network"], "addresses": {"static": pool}}
        world.document = {**world.document, "network": network}
        await world.configure()
        await world.until(world.running)
        assert sorted(str(machine.address) for machine in world.ours()) == [f"127.64.0.{n}" for n in (200, 201, 202)]
        data_center.center.life.remove(next(item.id for item in world.ours() if item.address == "127.64.0.201"))
        await tended(world, lambda: told(world, "MachineDeletedOutside") == 1)
        await tended(world, world.running)
        assert sorted(str(machine.address) for machine in world.ours()) == [f"127.64.0.{n}" for n in (200, 202, 203)]

    live(story, 3)


async def cuts(data_center: DataCenterProcess, pauses: list[float]) -> None:
    """Kill the data center after each pause; it is away for as long as a restart takes."""
    for pause in pauses:
        await asyncio.sleep(pause)
        await data_center.kill()
        await asyncio.sleep(4)
        await data_center.start()


def crash_at(boundary: int, nodes: int) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running, [boundary])
        provisioned(world)

    assert live(story, nodes).kills == 1


# Provisioning crosses some 1,250 boundaries with one node and 2,200 with three. A stride of 17 is alike to none of
# their patterns (a call has two, a transaction three), so every kind is met in every step.
@pytest.mark.parametrize("start", range(1, 1201, 17 * 12))
def test_one_crash_at_every_seventeenth_boundary_of_provisioning(start: int) -> None:
    for boundary in range(start, min(start + 17 * 12, 1201), 17):
        crash_at(boundary, 1)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(1, 1201, 50))
def test_one_crash_at_every_boundary_of_provisioning(start: int) -> None:
    for boundary in range(start, start + 50):
        crash_at(boundary, 1)


@pytest.mark.soak
@pytest.mark.parametrize("start", range(1, 2101, 100))
def test_one_crash_at_every_fifth_boundary_of_three_nodes(start: int) -> None:
    for boundary in range(start, start + 100, 5):
        crash_at(boundary, 3)


FUSES = st.lists(st.lists(st.integers(1, 120), max_size=3), min_size=3, max_size=3)
PAUSES = st.lists(st.floats(0.5, 60), max_size=3)


@settings(max_examples=10, deadline=None)
@example(fuses=[[], [], []], pauses=[44.791078132334505, 43.61504159816228, 10.422785707428698], nodes=1, restore=False)
@example(fuses=[[70], [70], []], pauses=[21.0], nodes=1, restore=True)  # clean was told before an older disk came back
@given(fuses=FUSES, pauses=PAUSES, nodes=st.sampled_from([1, 3]), restore=st.booleans())
def test_gateway_and_data_center_killed_at_any_moment(
    fuses: list[list[int]], pauses: list[float], nodes: int, restore: bool
) -> None:
    live(lambda world, data_center: a_hard_life(world, data_center, fuses, pauses, restore), nodes)


@pytest.mark.soak
@settings(max_examples=500, deadline=None)
@given(fuses=FUSES, pauses=PAUSES, nodes=st.sampled_from([1, 3]), restore=st.booleans())
def test_gateway_and_data_center_killed_at_very_many_moments(
    fuses: list[list[int]], pauses: list[float], nodes: int, restore: bool
) -> None:
    live(lambda world, data_center: a_hard_life(world, data_center, fuses, pauses, restore), nodes)


async def a_hard_life(
    world: World, data_center: DataCenterProcess, fuses: list[list[int]], pauses: list[float], restore: bool
) -> None:
    """Configured, reset, configured again and deleted, with kills of both all along."""
    before = {machine.id for machine in data_center.machines()}
    await world.configure()
    async with asyncio.TaskGroup() as group:
        group.create_task(cuts(data_center, pauses))
        await world.until(world.running, fuses[0], restore)
    # The last power cut may have come after that: machines that boot again have no address for a while.
    await world.until(lambda: world.running() and all(machine.address for machine in world.ours()))
    provisioned(world)
    await world.reset()
    async with asyncio.TaskGroup() as group:
        group.create_task(cuts(data_center, pauses[:1]))
        await world.until(world.clean, fuses[1], restore)
    assert {machine.id for machine in data_center.machines()} == before
    await world.configure()
    await world.until(world.running, [])
    await world.delete()
    await world.until(world.clean, fuses[2], restore)
    assert {machine.id for machine in data_center.machines()} == before


async def tended(world: World, goal: Callable[[], bool]) -> None:
    """The gateway runs on until the goal."""
    await world.until(goal)


def test_one_node_becomes_three_and_three_never_one() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        world.document = document(3) | {"nodes": {"count": 1, "size": "small"}}
        await world.configure()
        await world.until(world.running)
        [first] = world.ours()
        world.document = document(3)
        await world.configure()
        await world.until(world.running)
        provisioned(world)
        machines = {machine.id for machine in world.ours()}
        assert first.id in machines
        world.document = document(3) | {"nodes": {"count": 1, "size": "small"}}
        await world.configure()
        await world.until(lambda: problem(world, StepName.VALIDATE_CONFIGURATION) == "needs-reset")
        world.document = document(3)
        await world.configure()
        await world.until(world.running)
        assert {machine.id for machine in world.ours()} == machines

    live(story, 3)


def test_a_machine_that_someone_deletes_is_replaced() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        first, second, third = (machine.id for machine in world.ours())
        data_center.center.life.remove(second)
        await tended(world, lambda: told(world, "MachineDeletedOutside") == 1)
        await tended(world, world.running)
        provisioned(world)
        assert {first, third} < {machine.id for machine in world.ours()}
        assert told(world, "NodeRemoved") == told(world, "EtcdMemberRemoved") == 1

    live(story, 3)


def test_one_loss_after_the_other_never_costs_the_quorum() -> None:
    """With the dead still counted as members, the third loss would leave three living of six."""

    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        for losses in range(1, 5):
            data_center.center.life.remove(world.ours()[0].id)
            await tended(world, lambda losses=losses: told(world, "NodeReady") == 3 + losses and world.running())  # type: ignore[misc]
            provisioned(world)
        assert told(world, "EtcdMemberRemoved") == 4

    live(story, 3)


def test_two_machines_lost_at_once_are_a_lost_cluster_that_is_rebuilt() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        for machine in world.ours()[1:]:
            data_center.center.life.remove(machine.id)
        await asyncio.sleep(60)  # the gateway is away: etcd has lost its majority before anybody looks
        await tended(world, lambda: "cluster-lost" in conditions(world))
        await asyncio.sleep(600)
        [last] = world.ours()
        await world.rebuild()
        await world.until(world.running)
        provisioned(world)
        assert last.id not in {machine.id for machine in world.ours()}
        assert "cluster-lost" not in conditions(world)

    live(story, 3)


@pytest.mark.parametrize("boundary", range(1, 121, 6))
def test_killed_while_a_lost_machine_is_replaced(boundary: int) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        data_center.center.life.remove(world.ours()[1].id)
        await world.until(lambda: told(world, "NodeReady") == 4 and world.running(), [boundary])
        provisioned(world)

    live(story, 3)


def test_a_machine_that_someone_switches_off_is_switched_on_again() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        machines = [machine.id for machine in world.ours()]
        data_center.center.life.power_off(machines[0])
        await tended(world, lambda: told(world, "MachinePoweredOffOutside") == 1)
        await tended(world, world.running)
        provisioned(world)
        assert [machine.id for machine in world.ours()] == machines

    live(story, 3)


def test_what_someone_changes_inside_the_cluster_is_put_right_at_the_next_look_around() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        secrets = cluster_secrets(KEYS.cluster_seed, GATEWAY, 1)
        certificate = client_certificate(secrets, LoopClock().now())
        address = f"{world.ours()[0].address}:6443"
        async with data_center.kubernetes(address, secrets, certificate) as api:
            await api.put_secret(JET_NAMESPACE, JET_SECRET, {"token": b"of somebody else"})
        began = asyncio.get_running_loop().time()

        async def right() -> None:
            while True:
                await asyncio.sleep(5)
                async with data_center.kubernetes(address, secrets, certificate) as api:
                    if (await api.secret(JET_NAMESPACE, JET_SECRET) or {}).get("token") == b"jet-token":
                        return

        watching = asyncio.create_task(right())
        await tended(world, watching.done)
        assert asyncio.get_running_loop().time() - began < 320

    live(story)


def test_the_only_machine_deleted_is_a_lost_cluster_that_a_reset_heals() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        data_center.center.life.remove(world.ours()[0].id)
        await tended(world, lambda: "cluster-lost" in conditions(world))
        await world.reset()
        await world.until(world.clean)
        await world.configure()
        await world.until(world.running)
        provisioned(world)
        assert "cluster-lost" not in conditions(world)

    live(story)


def test_the_console_away_for_an_hour_misses_nothing() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()

        async def away() -> None:
            await asyncio.sleep(5)
            await world.console.go_away()
            await asyncio.sleep(3600)
            assert len(world.ours()) == 3  # it went on alone
            assert all(machine.address for machine in world.ours())
            world.console.come_back()

        async with asyncio.TaskGroup() as group:
            group.create_task(away())
            await world.until(world.running)
        provisioned(world)
        assert told(world, "GatewayRunning") == 1

    live(story, 3)


@pytest.mark.parametrize(
    "fault,step,reason",
    [
        ("dhcp/leases-all-taken", StepName.PREFLIGHT, "resources-missing"),
        ("permissions/clone-right-removed", StepName.PREFLIGHT, "permission-missing"),
        ("images/host-closed", StepName.PREFLIGHT, "image-not-fetched"),
    ],
)
def test_a_fault_stops_a_named_step_and_heals_by_itself(fault: str, step: StepName, reason: str) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        center = data_center.center
        faults.switch(center, fault, on=True)
        await world.configure()
        await world.until(lambda: problem(world, step) == reason)
        assert faults.described(center)[fault]["hits"]
        await data_center.kill()
        await data_center.start()  # the fault outlives the process
        await tended(world, lambda: problem(world, step) == reason)
        faults.switch(data_center.center, fault, on=False)
        await world.until(world.running)
        provisioned(world)

    live(story)


def told(world: World, reason: str) -> int:
    return [event for _, _, event in world.console.events].count(reason)


def conditions(world: World) -> list[str]:
    return [condition.name for condition in world.status.conditions] if world.status else []


def problem(world: World, step: StepName) -> str:
    reports = world.status.steps if world.status else []
    return next((report.last_error.reason for report in reports if report.name == step and report.last_error), "")
