"""The step addresses: who is given which address, when nobody is, and what is said then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pcg.clouds.base import CloudTask, TaskState
from pcg.errors import AskPerson, ResourcesMissing
from pcg.gateway.memory import Slot
from pcg.gateway.steps.address_concerns import USUAL_SECONDS
from pcg.gateway.steps.addresses import assign_addresses, claim_addresses, forget_what_does_not_hold, new_slot
from pcg.gateway.steps.machines import machines
from pcg.gateway.steps.outcome import Done, Wait
from pcg.model.configuration import Configuration, parse_configuration
from pcg.model.naming import MARK_ADDRESS
from pcg.network.address_in_use import AddressAnswer, Presence
from unit.gateway.reconciler.making import DOCUMENT, THREE, Made, machine, name_of, situation, static

pytestmark = pytest.mark.looptime

POOL = static("127.64.0.20", "127.64.0.25", 3)


def addresses(made: Made) -> list[str | None]:
    return [slot.address for slot in made.slots]


def marked(ordinal: int, address: str, incarnation: int = 1):
    """A machine that was made with this address, and has not told one yet."""
    made = machine(ordinal, incarnation)
    return replace(made, marks={**made.marks, MARK_ADDRESS: address})


async def test_by_dhcp_there_are_slots_without_addresses() -> None:
    made = situation(THREE)
    assert await assign_addresses(made.situation) == Done()
    assert [(slot.ordinal, slot.kind, slot.address) for slot in made.slots] == [
        (1, "init", None),
        (2, "join", None),
        (3, "join", None),
    ]
    assert made.claims.book.claims == {}


async def test_a_static_pool_is_claimed_from_its_beginning_and_the_claim_is_told() -> None:
    made = situation(POOL)
    assert await assign_addresses(made.situation) == Done()
    assert addresses(made) == ["127.64.0.20", "127.64.0.21", "127.64.0.22"]
    assert made.told[:3] == [("AddressClaimed", name_of(number)) for number in (1, 2, 3)]
    assert {key: claim.owner for key, claim in made.claims.book.claims.items()} == {
        "127.64.0.20": "1/1",
        "127.64.0.21": "1/2",
        "127.64.0.22": "1/3",
    }


async def test_a_claim_stays_and_a_machine_without_a_mark_has_what_it_tells() -> None:
    document = static("127.64.0.20", "127.64.0.29", 3)
    kept = Slot(ordinal=1, kind="init", address="127.64.0.22")
    made = situation(document, kept, machines=(machine(2, address="127.64.0.20"),))
    await assign_addresses(made.situation)
    assert addresses(made) == ["127.64.0.22", "127.64.0.20", "127.64.0.21"]


async def test_a_memory_that_was_lost_is_completed_by_the_marks() -> None:
    made = situation(POOL, machines=(marked(1, "127.64.0.22"), marked(2, "127.64.0.20")))
    await assign_addresses(made.situation)
    assert addresses(made) == ["127.64.0.22", "127.64.0.20", "127.64.0.21"]


async def test_what_a_machine_of_an_earlier_incarnation_or_a_copy_has_is_not_given() -> None:
    made = situation(POOL)
    copy = replace(marked(1, "127.64.0.21"), id="vm-copy", instance="another")
    made.look(marked(1, "127.64.0.20", incarnation=0), copy)
    await assign_addresses(made.situation)
    assert addresses(made) == ["127.64.0.22", "127.64.0.23", "127.64.0.24"]


async def test_gateway_and_control_plane_address_within_the_pool_are_left_out() -> None:
    made = situation(static("127.64.0.1", "127.64.0.10", 1))
    made.slots.extend(Slot(ordinal=n, kind="join", address=f"127.64.0.{n}", phase="up") for n in range(2, 9))
    new_slot(made.situation)
    made.look()
    await assign_addresses(made.situation)
    assert addresses(made)[-1] == "127.64.0.10"


async def test_a_pool_without_spare_addresses_is_too_small_and_says_how_much_is_needed() -> None:
    made = situation(static("127.64.0.20", "127.64.0.29", 3))
    # As an older console would have let it through.
    made.situation.configuration = Configuration.model_validate(static("127.64.0.20", "127.64.0.24", 3))
    with pytest.raises(ResourcesMissing) as caught:
        await assign_addresses(made.situation)
    assert caught.value.reason == "address-pool-exhausted"
    assert (caught.value.fields["needed"], caught.value.fields["free"]) == ("6", "5")


async def test_a_pool_that_is_all_claimed_is_exhausted_and_names_who_has_it() -> None:
    made = situation(POOL)
    made.look(*(marked(number, f"127.64.0.{number}", incarnation=0) for number in range(20, 26)))
    with pytest.raises(ResourcesMissing) as caught:
        await assign_addresses(made.situation)
    assert caught.value.reason == "address-pool-exhausted"
    assert caught.value.fields["free"] == "0"
    assert "127.64.0.20 is claimed by machine 0/20" in caught.value.evidence


async def test_addresses_of_machines_that_are_just_gone_are_waited_for() -> None:
    made = situation(POOL)
    made.look(*(marked(number, f"127.64.0.{number}", incarnation=0) for number in range(20, 26)))
    made.look()
    outcome = await assign_addresses(made.situation)
    assert isinstance(outcome, Wait)
    assert "the next is free at 00:05:00 UTC" in outcome.task
    assert outcome.retry_after == 300.0


async def test_an_address_in_use_is_skipped_and_told_once() -> None:
    made = situation(POOL)
    made.neighbours.have("127.64.0.20")
    made.neighbours.have("127.64.0.22")
    assert await assign_addresses(made.situation) == Done()
    assert addresses(made) == ["127.64.0.21", "127.64.0.23", "127.64.0.24"]
    assert made.reasons.count("AddressInUse") == 2
    made.slots[0].address = None
    await assign_addresses(made.situation)
    assert made.reasons.count("AddressInUse") == 2


async def test_a_pool_that_strangers_have_says_so_with_the_mac() -> None:
    made = situation(POOL)
    for number in range(20, 26):
        made.neighbours.have(f"127.64.0.{number}")
    with pytest.raises(ResourcesMissing) as caught:
        await assign_addresses(made.situation)
    assert caught.value.reason == "address-in-use"
    assert caught.value.fields["mac"] == "02:00:00:00:00:09"
    assert len(caught.value.evidence) == 6


async def test_a_great_pool_is_asked_through_a_few_addresses_at_a_time() -> None:
    made = situation(static("127.64.0.20", "127.64.0.250", 1))
    for number in range(20, 251):
        made.neighbours.have(f"127.64.0.{number}")
    outcome = await assign_addresses(made.situation)
    assert isinstance(outcome, Wait) and "looking for addresses" in outcome.task
    assert len(made.neighbours.asked) - 1 == 9, "the control-plane address, and three rounds"


async def test_what_cannot_be_told_is_given_and_said_once() -> None:
    made = situation(POOL)
    for number in range(20, 26):
        answer = AddressAnswer(Presence.CANNOT_TELL, "not on the same link")
        made.neighbours.answers[f"127.64.0.{number}"] = answer
    await assign_addresses(made.situation)
    assert addresses(made) == ["127.64.0.20", "127.64.0.21", "127.64.0.22"]
    assert made.reasons.count("AddressUseUnknown") == 1


async def test_a_control_plane_address_in_use_asks_a_person_until_it_is_free() -> None:
    made = situation(THREE)
    made.neighbours.have("127.64.0.9")
    for _ in range(2):
        with pytest.raises(AskPerson) as caught:
            await assign_addresses(made.situation)
        assert caught.value.reason == "address-in-use"
        assert caught.value.fields["mac"] == "02:00:00:00:00:09"
    assert made.reasons == ["AddressInUse"]
    made.neighbours.answers.clear()
    assert await assign_addresses(made.situation) == Done()


@pytest.mark.parametrize("ours", ["formed", "machines", "under way"])
async def test_a_control_plane_address_that_our_own_cluster_may_hold_is_not_asked_for(ours: str) -> None:
    made = situation(THREE, formed=ours == "formed", machines=(machine(1),) if ours == "machines" else ())
    if ours == "under way":
        made.situation.unfinished = [CloudTask("t", TaskState.RUNNING, "create", name_of(1))]
    made.neighbours.have("127.64.0.9")
    assert await assign_addresses(made.situation) == Done()
    assert made.neighbours.asked == []


async def test_while_a_machine_of_an_unknown_address_is_being_made_none_is_given() -> None:
    made = situation(POOL)
    made.situation.unfinished = [CloudTask("t", TaskState.RUNNING, "create", name_of(2))]
    outcome = await assign_addresses(made.situation)
    assert isinstance(outcome, Wait) and name_of(2) in outcome.task
    assert addresses(made) == [None, None, None]
    made.slots[1].task = "t"
    assert await assign_addresses(made.situation) == Done()
    assert addresses(made) == ["127.64.0.20", None, "127.64.0.21"], "the second has what it was made with"


async def test_what_is_being_made_keeps_its_claim_whatever_was_reset_meanwhile() -> None:
    made = situation(POOL)
    made.claims.book.claim("127.64.0.20", "0/1")
    made.situation.unfinished = [CloudTask("t", TaskState.RUNNING, "create", name_of(1))]
    made.look()
    assert made.claims.book.claims["127.64.0.20"].gone_since is None
    made.situation.unfinished = []
    made.look()
    assert made.claims.book.claims["127.64.0.20"].gone_since is not None


async def test_another_pool_counts_for_what_is_not_made_yet() -> None:
    made = situation(POOL, machines=(marked(1, "127.64.0.20"),))
    await assign_addresses(made.situation)
    made.situation.configuration, _ = parse_configuration(static("127.64.0.100", "127.64.0.120", 3))
    made.look()
    await assign_addresses(made.situation)
    assert addresses(made) == ["127.64.0.20", "127.64.0.100", "127.64.0.101"]
    made.situation.configuration, _ = parse_configuration({**DOCUMENT, "nodes": {"count": 1}})
    forget_what_does_not_hold(made.situation)
    assert addresses(made) == ["127.64.0.20", None, None]


async def test_a_claim_that_another_machine_turns_out_to_have_is_given_up() -> None:
    made = situation(POOL, Slot(ordinal=1, kind="init", address="127.64.0.20"))
    made.look(marked(7, "127.64.0.20"))
    await assign_addresses(made.situation)
    assert "127.64.0.20" not in addresses(made)


async def test_the_machine_is_made_with_its_address_in_marks_and_meta_data() -> None:
    made = situation(static("127.64.0.20", "127.64.0.25", 1))
    await assign_addresses(made.situation)
    await machines(made.situation)
    (spec,) = made.cloud.made
    assert spec.marks[MARK_ADDRESS] == "127.64.0.20"
    assert "127.64.0.20/24" in spec.meta_data


async def test_a_replacement_gets_another_address() -> None:
    gone = Slot(ordinal=1, kind="init", address="127.64.0.20", phase="up")
    others = (marked(2, "127.64.0.21"), marked(3, "127.64.0.22"))
    slots = [Slot(ordinal=number, kind="join", address=f"127.64.0.{19 + number}", phase="up") for number in (2, 3)]
    made = situation(POOL, gone, *slots, machines=others, formed=True)
    await machines(made.situation)
    (spec,) = made.cloud.made
    assert spec.marks[MARK_ADDRESS] == "127.64.0.23"
    assert made.claims.book.claims["127.64.0.20"].gone_since is not None
    assert made.reasons.index("AddressClaimed") < made.reasons.index("MachineCreating")


async def test_a_replacement_for_which_there_is_only_a_waiting_address_waits() -> None:
    gone = Slot(ordinal=1, kind="init", address="127.64.0.20", phase="up")
    others = (marked(2, "127.64.0.21"), marked(3, "127.64.0.22"))
    slots = [
        Slot(ordinal=number, kind="join", address=f"127.64.0.{19 + number}", phase="up", address_lost=True)
        for number in (2, 3)
    ]
    made = situation(POOL, gone, *slots, machines=others, formed=True)
    made.look(*(marked(number, f"127.64.0.{number}", incarnation=0) for number in (23, 24, 25)))
    outcome = await machines(made.situation)
    assert isinstance(outcome, Wait) and "waiting for an address of 127.64.0.20-127.64.0.25" in outcome.task
    assert outcome.retry_after == USUAL_SECONDS  # of the two beside it, which have no address either
    assert made.cloud.made == []


async def test_claims_wait_for_nobody_who_has_nothing_to_claim() -> None:
    made = situation(POOL, machines=tuple(marked(number, f"127.64.0.{19 + number}") for number in (1, 2, 3)))
    await assign_addresses(made.situation)
    assert await claim_addresses(made.situation) is None


async def test_in_a_formed_cluster_a_new_slot_joins() -> None:
    made = situation(THREE, formed=True)
    assert new_slot(made.situation).kind == "join"
