"""The step machines: exactly the wanted ones, side by side, and nothing that is not ours is touched."""

from __future__ import annotations

import pytest

from pcg.clouds.base import CloudTask, PowerState, TaskState
from pcg.errors import AskPerson, Conflict, ResourcesMissing, TryAgain, Unreachable
from pcg.gateway.cleaning import sort_out
from pcg.gateway.memory import Slot
from pcg.gateway.steps.machines import LOOK_AGAIN_SECONDS, machines
from pcg.gateway.steps.outcome import Done, Wait
from pcg.model.naming import MARK_GATEWAY, MARK_INSTANCE, MARK_MACHINE, MARK_MADE_FROM, instance_uuid
from unit.gateway.reconciler.making import DOCUMENT, GATEWAY, SHARED, THREE, machine, name_of, situation, static

pytestmark = pytest.mark.looptime

OURS = "127.64.0.10"


def init(**more: object) -> Slot:
    return Slot(ordinal=1, kind="init", **more)  # type: ignore[arg-type]


def three(**more: object) -> list[Slot]:
    joins = [Slot(ordinal=ordinal, kind="join", **more) for ordinal in (2, 3)]  # type: ignore[arg-type]
    return [init(**more), *joins]


async def test_a_machine_is_made_with_its_marks_in_the_creating_call() -> None:
    made = situation(DOCUMENT, init())
    assert await machines(made.situation) == Wait(f"making {name_of(1)}")
    (spec,) = made.cloud.made
    instance = instance_uuid(GATEWAY, 1, 1)
    assert spec.marks == {
        MARK_GATEWAY: GATEWAY,
        MARK_MACHINE: "1/1",
        MARK_INSTANCE: instance,
        MARK_MADE_FROM: "1 4,4,60 spectro-templates/node",
    }
    assert (spec.name, spec.template) == (name_of(1), "template-1")
    assert made.told == [("MachineCreating", name_of(1))]


async def test_while_its_task_runs_nothing_is_asked_again() -> None:
    made = situation(DOCUMENT, init())
    await machines(made.situation)
    assert await machines(made.situation) == Wait(f"making {name_of(1)}")
    assert len(made.cloud.made) == 1


async def test_three_machines_are_made_side_by_side() -> None:
    made = situation(THREE, *three())
    outcome = await machines(made.situation)
    assert outcome == Wait("; ".join(f"making {name_of(number)}" for number in (1, 2, 3)))
    assert [spec.name for spec in made.cloud.made] == [name_of(1), name_of(2), name_of(3)]


async def test_three_machines_are_spread_over_the_placements_in_turn() -> None:
    one, two = ({**DOCUMENT["placement"][0], "datastore": name} for name in ("ds-1", "ds-2"))
    made = situation({**THREE, "placement": [one, two]}, *three())
    await machines(made.situation)
    assert [spec.placement.datastore for spec in made.cloud.made] == ["ds-1", "ds-2", "ds-1"]


async def test_without_a_shared_address_a_join_waits_for_the_first_nodes_address() -> None:
    slots = init(phase="started"), Slot(ordinal=2, kind="join")
    made = situation(DOCUMENT, *slots, machines=(machine(1),))
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait)
    assert "waiting for the first node's address" in outcome.task
    assert made.cloud.made == []


async def test_a_join_is_told_the_first_nodes_address() -> None:
    slots = init(phase="up"), Slot(ordinal=2, kind="join")
    made = situation(DOCUMENT, *slots, machines=(machine(1, address=OURS),))
    await machines(made.situation)
    (spec,) = made.cloud.made
    assert f"{OURS}:6443" in spec.user_data


async def test_a_machine_that_is_there_is_started() -> None:
    made = situation(DOCUMENT, init(phase="creating"), machines=(machine(1, power=PowerState.OFF),))
    assert await machines(made.situation) == Wait(f"starting {name_of(1)}")
    assert made.cloud.started == [name_of(1)]
    assert made.slots[0].task == "task-1"
    assert made.reasons == ["MachineCreated"]


async def test_a_started_machine_is_waited_for_until_it_has_an_address() -> None:
    made = situation(DOCUMENT, init(phase="made"), machines=(machine(1),))
    assert await machines(made.situation) == Wait(f"waiting for {name_of(1)} to boot and get an address", 180.0)
    made.situation.machines = [machine(1, address=OURS)]
    assert await machines(made.situation) == Done()
    assert made.reasons == ["MachineStarted", "AddressAssigned"]


async def test_machines_that_a_lost_memory_does_not_know_are_adopted_by_their_marks() -> None:
    found = (machine(2, address=OURS), machine(5, address="127.64.0.11"))
    made = situation(THREE, *three(), machines=found)
    await machines(made.situation)
    assert sorted(slot.ordinal for slot in made.slots) == [2, 3, 5]
    assert [spec.name for spec in made.cloud.made] == [name_of(3)]
    assert made.situation.cluster.next_ordinal == 6


async def test_with_no_memory_at_all_every_machine_is_adopted_and_none_is_made() -> None:
    found = tuple(machine(number, address=f"127.64.0.1{number}") for number in (1, 2, 3))
    made = situation(THREE, machines=found)
    assert await machines(made.situation) == Done()
    assert [(slot.ordinal, slot.kind) for slot in made.slots] == [(1, "init"), (2, "join"), (3, "join")]
    assert made.cloud.made == []


async def test_a_creation_that_the_memory_lost_is_taken_up_and_not_begun_again() -> None:
    under_way = CloudTask("vendor-7", TaskState.RUNNING, "create", name_of(1))
    made = situation(DOCUMENT, init(), unfinished=[under_way])
    assert await machines(made.situation) == Wait(f"making {name_of(1)}")
    assert (made.slots[0].task, made.cloud.made) == ("vendor-7", [])


async def test_a_strangers_name_is_looked_at_twice_and_then_the_next_ordinal_is_used() -> None:
    made = situation(DOCUMENT, init())
    made.cloud.refusals[f"create {name_of(1)}"] = Conflict("taken", reason="name-taken")
    assert await machines(made.situation) == Wait(f"the name {name_of(1)} is taken: looking again", LOOK_AGAIN_SECONDS)
    assert made.told == []
    await machines(made.situation)
    assert made.told == [("MachineNameTaken", name_of(1))]
    await machines(made.situation)
    assert [spec.name for spec in made.cloud.made] == [name_of(2)]
    assert made.slots[0].kind == "init"


async def test_an_instance_that_exists_is_ours_and_keeps_its_ordinal() -> None:
    made = situation(DOCUMENT, init())
    made.cloud.refusals[f"create {name_of(1)}"] = Conflict("exists", reason="instance-exists")
    for _ in range(3):
        assert isinstance(await machines(made.situation), Wait)
    assert made.slots[0].ordinal == 1
    assert made.told == []


async def test_a_task_that_failed_tells_the_clouds_own_error_and_the_machine_is_made_again() -> None:
    made = situation(DOCUMENT, init())
    await machines(made.situation)
    made.cloud.ended("task-1", ResourcesMissing("no space", reason="resources-missing"))
    with pytest.raises(ResourcesMissing, match="no space"):
        await machines(made.situation)
    await machines(made.situation)
    assert [spec.name for spec in made.cloud.made] == [name_of(1)] * 2


async def test_a_task_that_failed_for_a_taken_name_leads_to_another_look() -> None:
    made = situation(DOCUMENT, init())
    await machines(made.situation)
    made.cloud.ended("task-1", Conflict("taken", reason="name-taken"))
    made.cloud.refusals[f"create {name_of(1)}"] = Conflict("taken", reason="name-taken")
    await machines(made.situation)
    assert made.reasons == ["MachineCreating", "MachineNameTaken"]
    await machines(made.situation)
    assert made.cloud.made[-1].name == name_of(2)


async def test_a_task_that_the_cloud_has_forgotten_is_forgotten() -> None:
    made = situation(DOCUMENT, init(phase="creating", task="gone"), machines=(machine(1, address=OURS),))
    assert await machines(made.situation) == Done()
    assert made.slots[0].task is None


async def test_one_machines_error_does_not_hold_up_the_others() -> None:
    made = situation(THREE, *three())
    made.cloud.refusals[f"create {name_of(1)}"] = Unreachable("away")
    with pytest.raises(Unreachable):
        await machines(made.situation)
    assert [spec.name for spec in made.cloud.made] == [name_of(2), name_of(3)]


async def test_a_machine_switched_off_by_someone_is_told_and_switched_on() -> None:
    off = machine(1, power=PowerState.OFF)
    made = situation(DOCUMENT, init(phase="up"), machines=(off,), formed=True)
    assert await machines(made.situation) == Wait(f"starting {name_of(1)}")
    assert (made.reasons, made.cloud.started) == (["MachinePoweredOffOutside"], [name_of(1)])


async def test_a_machine_deleted_by_someone_is_replaced_under_a_new_ordinal_that_joins() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (2, 3))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    assert await machines(made.situation) == Wait(f"making {name_of(4)}")
    assert made.told[0] == ("MachineDeletedOutside", name_of(1))
    assert [(slot.ordinal, slot.kind) for slot in made.slots] == [(2, "join"), (3, "join"), (4, "join")]


async def test_a_deletion_that_is_still_under_way_is_no_making_of_the_machine() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (2, 3))
    others = CloudTask("vendor-9", TaskState.RUNNING, "VirtualMachine.destroy", name_of(1))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True, unfinished=[others])
    assert await machines(made.situation) == Wait(f"making {name_of(4)}")
    assert made.told[0] == ("MachineDeletedOutside", name_of(1))


async def test_before_it_is_replaced_a_lost_machine_leaves_etcd_and_the_cluster() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (2, 3))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    made.cluster.etcd_members = [name_of(1), name_of(2), name_of(3)]
    made.cluster.etcd_errors = {"127.64.0.12:2379": Unreachable("silent", reason="connect")}
    await machines(made.situation)
    assert made.cluster.etcd_members == [name_of(2), name_of(3)]
    assert made.cluster.removed == [name_of(1)]
    assert made.cluster.addresses == ["127.64.0.12:2379", "127.64.0.13:2379", "127.64.0.9:6443"]
    assert made.reasons == ["MachineDeletedOutside", "EtcdMemberRemoved", "NodeRemoved", "MachineCreating"]


@pytest.mark.parametrize("known", [True, False], ids=["every address known", "one unknown"])
async def test_a_member_that_was_announced_and_never_began_is_removed_once_no_machine_can_be_it(known: bool) -> None:
    there = (machine(2, address="127.64.0.12"), machine(3, address="127.64.0.13" if known else None))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    made.cluster.etcd_members = [name_of(2), name_of(3)]
    made.cluster.announced = ["127.64.0.11", "127.64.0.12"]
    await machines(made.situation)
    assert made.cluster.announced == (["127.64.0.12"] if known else ["127.64.0.11", "127.64.0.12"])
    assert ("EtcdMemberRemoved" in made.reasons) is known


async def test_a_machine_that_is_nobodys_slot_leaves_the_cluster_and_is_dismissed() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (1, 2, 3, 4))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    made.cluster.etcd_members = [name_of(number) for number in (1, 2, 3, 4)]
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait) and name_of(4) in outcome.task
    assert made.situation.cluster.dismissed == [4]
    assert made.cluster.etcd_members == [name_of(1), name_of(2), name_of(3)]
    assert made.reasons == ["EtcdMemberRemoved", "NodeRemoved", "MachineSurplus"]
    sort_out(made.situation, there, [])
    assert [item.name for item in made.situation.unwanted] == [name_of(4)]
    assert [item.name for item in made.situation.machines] == [name_of(1), name_of(2), name_of(3)]


async def test_one_node_may_be_older_news_than_the_three_that_stand() -> None:
    """A disk from before the cluster grew: the console will say so; until then nothing is taken away."""
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (1, 2, 3))
    made = situation({**DOCUMENT, **SHARED}, init(phase="up"), machines=there, formed=True)
    assert await machines(made.situation) == Done()
    assert made.situation.cluster.dismissed == []


async def test_while_no_member_answers_nothing_is_made_in_its_place() -> None:
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (2, 3))
    made = situation(THREE, *three(phase="up"), machines=there, formed=True)
    silent = Unreachable("silent", reason="connect")
    made.cluster.etcd_errors = {"127.64.0.12:2379": silent, "127.64.0.13:2379": silent}
    for _ in range(2):
        with pytest.raises(Unreachable):
            await machines(made.situation)
    assert made.cloud.made == []
    assert made.reasons == ["MachineDeletedOutside"]


async def test_an_etcd_without_a_majority_is_waited_for_while_there_can_be_one_and_is_a_lost_cluster_otherwise() -> (
    None
):
    refused = TryAgain("refused", reason="etcd-refused", evidence=["etcdserver: no leader"])
    for left, expected in (((2, 3), TryAgain), ((2,), AskPerson)):
        there = tuple(machine(number, address=f"127.64.0.1{number}") for number in left)
        made = situation(THREE, *three(phase="up"), machines=there, formed=True)
        made.cluster.etcd_errors = {"127.64.0.12:2379": refused}
        with pytest.raises(expected) as caught:
            await machines(made.situation)
        assert "etcdserver: no leader" in caught.value.evidence
        assert caught.value.reason == ("cluster-lost" if expected is AskPerson else "etcd-refused")
        assert made.cloud.made == []


async def test_the_only_machine_of_a_formed_cluster_gone_is_a_lost_cluster() -> None:
    made = situation(DOCUMENT, init(phase="up"), formed=True)
    for _ in range(2):
        with pytest.raises(AskPerson) as caught:
            await machines(made.situation)
        assert caught.value.reason == "cluster-lost"
    assert made.reasons == ["MachineDeletedOutside"]
    assert made.cloud.made == []


async def test_the_only_machine_gone_before_the_cluster_formed_is_simply_made_again() -> None:
    made = situation(DOCUMENT, init(phase="up"))
    assert await machines(made.situation) == Wait(f"making {name_of(2)}")
    assert made.slots[0].kind == "init"


async def test_a_static_address_is_told_to_the_machine() -> None:
    document = static("127.64.0.20", "127.64.0.29")
    made = situation(document, init(address="127.64.0.23"))
    await machines(made.situation)
    assert "127.64.0.23" in made.cloud.made[0].meta_data


async def test_a_replacement_claims_an_address_that_nobody_has() -> None:
    document = static("127.64.0.20", "127.64.0.29", 3)
    slots = [slot.model_copy(update={"address": f"127.64.0.2{slot.ordinal}"}) for slot in three(phase="up")]
    there = tuple(machine(number, address=f"127.64.0.2{number}") for number in (1, 2))
    made = situation(document, *slots, machines=there, formed=True)
    await machines(made.situation)
    assert made.slots[-1].address == "127.64.0.20"


async def test_with_a_shared_address_joins_need_not_wait() -> None:
    made = situation(
        {**DOCUMENT, **SHARED}, init(phase="started"), Slot(ordinal=2, kind="join"), machines=(machine(1),)
    )
    await machines(made.situation)
    assert "127.64.0.9:6443" in made.cloud.made[0].user_data
