"""Another size or image on the real simulated data center: machines are replaced one by one, whoever is killed.

In every story the cluster never loses its quorum and the number of machines never exceeds the wanted by more than one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.clock import LoopClock
from pcg.clouds.simulated.inventory import find_folder, template_path
from pcg.clouds.simulated.lab import CONTROL_PLANE_ADDRESS, IMAGE
from pcg.model.configuration import Template
from pcg.model.states import StepName
from pcg.nodes.manifests import JET_NAME, JET_NAMESPACE
from pcg.nodes.pki import client_certificate, cluster_secrets
from property.data_center import DataCenterProcess, document
from property.test_crashes_simulated import cuts, live, problem, provisioned, told
from property.world import GATEWAY, KEYS, World


def sized(nodes: int, size: str, **more: Any) -> dict[str, Any]:
    shared = {"network": {"controlPlaneAddress": CONTROL_PLANE_ADDRESS}}
    return document(nodes) | shared | {"nodes": {"count": nodes, "size": size}} | more


async def running(world: World, data_center: DataCenterProcess, nodes: int) -> None:
    world.document = sized(nodes, "small")
    await world.configure()
    await world.until(world.running)


class Watch:
    """Looks at the cluster all along; `most` machines of ours were there at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.most = 0

    async def __aenter__(self) -> Watch:
        self._work = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self.most = max(self.most, len(self._world.ours()))
            await asyncio.sleep(0.5)


def all_made(world: World, cpus: int) -> bool:
    return world.running() and {machine.hardware for machine in world.ours()} == {(cpus, cpus)}


@pytest.mark.parametrize("nodes", [1, 3])
def test_another_size_comes_by_one_machine_after_the_other(nodes: int) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, nodes)
        before = {machine.id for machine in world.ours()}
        world.document = sized(nodes, "medium")
        await world.configure()
        tasks = set()

        def done() -> bool:
            tasks.update(step.task for step in (world.status.steps if world.status else []))
            return all_made(world, 8)

        async with Watch(world) as watch:
            await world.until(done)
        provisioned(world)
        assert not before & {machine.id for machine in world.ours()}
        assert watch.most == nodes + 1
        shown = [f"replacing {world.name_of(1)} by {world.name_of(nodes + 1)} (1 of {nodes}): making"]
        shown += [f"({nodes} of {nodes}): waiting for {world.name_of(2 * nodes)} to join"]
        assert all(any(text in task for task in tasks) for text in shown), tasks
        assert told(world, "MachineReplacing") == told(world, "MachineReplaced") == nodes
        assert told(world, "EtcdMemberRemoved") == nodes

    live(story, nodes)


def test_another_image_comes_the_same_way_and_the_same_configuration_again_changes_nothing() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 3)
        before = {machine.id for machine in world.ours()}
        await world.configure()
        await world.until(world.running)
        assert before == {machine.id for machine in world.ours()}
        # A person has put a newer image beside the first.
        data_center.center.state.put("template", template_path(find_folder("spectro-templates"), "newer"), {"url": ""})
        world.document = sized(3, "small", template={"image": "newer"})
        await world.configure()
        await world.until(lambda: world.running() and not before & {machine.id for machine in world.ours()})
        provisioned(world)

    live(story, 3)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize(
    "before,after",
    [
        ({"image": IMAGE, "sha256": "a" * 64}, {"image": IMAGE, "sha256": "b" * 64}),
        ({"image": IMAGE}, {"image": IMAGE.replace("127.64.0.3", "127.64.0.4")}),
    ],
    ids=["another sum", "another URL"],
)
def test_another_sum_or_url_under_the_same_file_name_is_another_image(
    nodes: int, before: dict[str, str], after: dict[str, str]
) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        names = [Template(**image).name for image in (before, after)]
        for name in names:  # what was imported from there
            data_center.center.state.put("template", template_path(find_folder("spectro-templates"), name), {"url": ""})
        world.document = sized(nodes, "small", template=before)
        await world.configure()
        await world.until(world.running)
        old = {machine.id for machine in world.ours()}
        world.document = sized(nodes, "small", template=after)
        await world.configure()
        async with Watch(world) as watch:
            await world.until(lambda: world.running() and not old & {machine.id for machine in world.ours()})
        provisioned(world)
        assert watch.most == nodes + 1
        assert {machine.made_from.image for machine in world.ours()} == {f"spectro-templates/{names[1]}"}

    live(story, nodes)


BUDGETS = f"/apis/policy/v1/namespaces/{JET_NAMESPACE}/poddisruptionbudgets"


@pytest.mark.parametrize("loosened", [False, True])
def test_a_budget_holds_a_roll_up_until_it_is_loosened_or_patience_ends(loosened: bool) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 1)
        secrets = cluster_secrets(KEYS.cluster_seed, GATEWAY, 1)
        certificate = client_certificate(secrets, LoopClock().now())
        node = data_center.client(f"{CONTROL_PLANE_ADDRESS}:6443", secrets.ca_certificate, certificate)
        async with node as api:
            deployment = await api.get(f"/apis/apps/v1/namespaces/{JET_NAMESPACE}/deployments/{JET_NAME}")
            budget = {"selector": deployment.json()["spec"]["selector"], "minAvailable": 1}
            made = await api.post(BUDGETS, json={"metadata": {"name": "jet"}, "spec": budget})
            assert made.status_code == 201
            world.document = sized(1, "medium")
            await world.configure()
            await world.until(lambda: told(world, "NodeDraining") == 1)
            await asyncio.sleep(60)
            steps = {step.name: step for step in (world.status.steps if world.status else [])}
            assert "may not be evicted yet" in (steps[StepName.MACHINES].task or "")
            assert len(world.ours()) == 2
            if loosened:
                assert (await api.delete(f"{BUDGETS}/jet")).status_code == 200
            began = asyncio.get_running_loop().time()
            await world.until(lambda: all_made(world, 8) and len(world.ours()) == 1)
            took = asyncio.get_running_loop().time() - began
        provisioned(world)
        assert told(world, "NodeDrainGivenUp") == (0 if loosened else 1)
        assert (took < 300) is loosened

    live(story, 1)


def test_one_node_without_a_shared_address_is_refused_with_the_way_out() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await world.configure()
        await world.until(world.running)
        [machine] = world.ours()
        world.document = document(1) | {"nodes": {"count": 1, "size": "large"}}
        await world.configure()
        await world.until(lambda: problem(world, StepName.VALIDATE_CONFIGURATION) == "needs-reset")
        assert [machine] == world.ours()

    live(story)


def test_a_new_machine_that_cannot_be_made_leaves_the_old_ones_alone() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 3)
        before = {machine.id for machine in world.ours()}
        huge = {"cpus": 4, "memoryGiB": 1024, "diskGiB": 60}
        world.document = sized(3, "small") | {"nodes": {"count": 3, "size": huge}}
        await world.configure()
        await world.until(lambda: problem(world, StepName.PREFLIGHT) == "memory-missing")
        await asyncio.sleep(600)
        assert before == {machine.id for machine in world.ours()}
        # Another size is wanted, and the roll is done with that.
        world.document = sized(3, "medium")
        await world.configure()
        await world.until(lambda: all_made(world, 8) and len(world.ours()) == 3)
        provisioned(world)

    live(story, 3)


@pytest.mark.parametrize("after", [1, 15, 40, 70, 90, 120])
@pytest.mark.parametrize("then", ["small", "large"])
def test_what_is_wanted_changes_again_in_the_midst(after: int, then: str) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 3)
        world.document = sized(3, "medium")
        await world.configure()

        async def another() -> None:
            await asyncio.sleep(after)
            world.document = sized(3, then)
            await world.configure()

        changing = asyncio.create_task(another())
        cpus = {"small": 4, "large": 16}[then]
        async with Watch(world) as watch:
            await world.until(lambda: changing.done() and all_made(world, cpus) and len(world.ours()) == 3)
        provisioned(world)
        assert watch.most <= 4

    live(story, 3)


def test_the_machine_that_is_being_replaced_is_lost_and_the_spare_one_takes_its_seat() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 3)
        first = world.ours()[0]
        world.document = sized(3, "medium")
        await world.configure()
        await world.until(lambda: len(world.ours()) == 4)
        data_center.center.life.remove(first.id)
        await world.until(lambda: all_made(world, 8) and len(world.ours()) == 3)
        provisioned(world)
        assert told(world, "MachineDeletedOutside") == 1

    live(story, 3)


def test_the_spare_one_is_lost_and_made_anew() -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, 1)
        [first] = world.ours()
        world.document = sized(1, "medium")
        await world.configure()
        await world.until(lambda: len(world.ours()) == 2)
        data_center.center.life.remove(next(machine.id for machine in world.ours() if machine.id != first.id))
        await world.until(lambda: all_made(world, 8) and len(world.ours()) == 1)
        provisioned(world)

    live(story, 1)


def roll_with_crashes(nodes: int, fuses: list[int], pauses: list[float], restore: bool) -> None:
    async def story(world: World, data_center: DataCenterProcess) -> None:
        await running(world, data_center, nodes)
        before = {machine.id for machine in world.ours()}
        world.document = sized(nodes, "medium")
        await world.configure()
        async with Watch(world) as watch, asyncio.TaskGroup() as group:
            group.create_task(cuts(data_center, pauses))
            await world.until(lambda: all_made(world, 8) and len(world.ours()) == nodes, fuses, restore)
        await world.until(lambda: world.running() and all(machine.address for machine in world.ours()))
        provisioned(world)
        assert not before & {machine.id for machine in world.ours()}
        assert watch.most <= nodes + 1

    live(story, nodes)


@pytest.mark.parametrize("boundary", range(1, 161, 8))
def test_killed_while_one_machine_is_replaced(boundary: int) -> None:
    roll_with_crashes(1, [boundary], [], restore=False)


@pytest.mark.soak
@pytest.mark.parametrize("boundary", range(1, 900, 9))
def test_killed_while_three_machines_are_replaced(boundary: int) -> None:
    roll_with_crashes(3, [boundary], [], restore=False)


FUSES = st.lists(st.integers(1, 250), max_size=4)


@settings(max_examples=6, deadline=None)
@given(fuses=FUSES, nodes=st.sampled_from([1, 3]), restore=st.booleans())
def test_killed_and_restored_at_any_moment(fuses: list[int], nodes: int, restore: bool) -> None:
    roll_with_crashes(nodes, fuses, [], restore)


@pytest.mark.soak
@settings(max_examples=200, deadline=None)
@given(
    fuses=FUSES,
    nodes=st.sampled_from([1, 3]),
    pauses=st.lists(st.floats(0.5, 60), max_size=2),
    restore=st.booleans(),
)
def test_gateway_and_data_center_killed_at_very_many_moments(
    fuses: list[int], nodes: int, pauses: list[float], restore: bool
) -> None:
    roll_with_crashes(nodes, fuses, pauses, restore)
