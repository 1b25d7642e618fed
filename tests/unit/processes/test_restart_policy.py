"""The policy is Kubernetes': 10 s doubling to 5 min, forgotten after 10 min of running; all divided by the speed."""

from __future__ import annotations

import pytest

from pcg.processes.restart_policy import RestartPolicy


@pytest.mark.parametrize("speed", [1.0, 8.0])
def test_delays_double_to_the_cap(speed: float) -> None:
    policy = RestartPolicy(speed)
    delays = [policy.delay(1.0 / speed) * speed for _ in range(9)]
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_ten_minutes_of_running_forget_the_past() -> None:
    policy = RestartPolicy()
    for _ in range(6):
        policy.delay(1)
    assert policy.delay(600) == 0
    assert policy.delay(1) == 10


def test_almost_ten_minutes_do_not() -> None:
    policy = RestartPolicy()
    for _ in range(3):
        policy.delay(1)
    assert policy.delay(599) == 40


def test_what_caused_it_may_be_gone() -> None:
    policy = RestartPolicy()
    for _ in range(5):
        policy.delay(1)
    policy.forget()
    assert policy.delay(1) == 0
