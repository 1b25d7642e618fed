"""Rolling replacement: what the spare machine must be before the old one may go. The whole roll is walked through in
tests/property/test_replacements_simulated.py.
"""

from __future__ import annotations

from pcg.gateway.memory import Slot
from pcg.gateway.steps.outcome import Wait
from pcg.gateway.steps.replacements import replace_next

from .making import THREE, Made, machine, name_of, situation
from .test_step_machines import three


def spare_beside_three() -> Made:
    """All four nodes are Ready, and the spare's etcd is a member."""
    spare = Slot(ordinal=4, kind="join", phase="up", replaces=1)
    there = tuple(machine(number, address=f"127.64.0.1{number}") for number in (1, 2, 3, 4))
    made = situation(THREE, *three(phase="up"), spare, machines=there, formed=True)
    made.cluster.ready_nodes = {name_of(number): True for number in (1, 2, 3, 4)}
    made.cluster.etcd_members = [name_of(number) for number in (1, 2, 3, 4)]
    return made


async def test_the_old_one_stays_while_the_spare_has_no_vote_in_etcd() -> None:
    made = spare_beside_three()
    made.cluster.learners = {name_of(4)}
    outcome = await replace_next(made.situation)
    assert isinstance(outcome, Wait)
    assert outcome.task.endswith(f"waiting for etcd on {name_of(4)}")
    assert made.cluster.draining == {}
    made.cluster.learners.clear()
    await replace_next(made.situation)
    assert list(made.cluster.draining) == [name_of(1)]


async def test_the_old_one_stays_while_the_spare_s_node_is_not_ready() -> None:
    made = spare_beside_three()
    del made.cluster.ready_nodes[name_of(4)]
    outcome = await replace_next(made.situation)
    assert isinstance(outcome, Wait)
    assert outcome.task.endswith(f"waiting for {name_of(4)} to join")
    assert name_of(1) in made.cluster.etcd_members
