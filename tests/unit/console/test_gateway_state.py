"""What a gateway's row means, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pcg.console.gateway_state import state_of, status_of, steps_of, view_of
from pcg.console.presence import Presence
from pcg.console.store.models import Gateway
from pcg.model.records import ConditionReport, GatewayStatus, MachineReport, StepReport
from pcg.model.states import ConditionName, MachineRole, MachineState, StepName, StepState
from pcg.sealing.keys import GatewayKeys, fingerprint

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYS = GatewayKeys.generate()
DONE = [StepReport(name=name, state=StepState.DONE) for name in StepName]


def _row(**values: Any) -> Gateway:
    defaults: dict[str, Any] = {
        "id": "g", "name": "one", "cloud": "simulated", "created_at": NOON, "registered_at": NOON,
        "signing_key": KEYS.public_signing, "sealing_key": KEYS.public_sealing, "mode": "run", "generation": 3,
        "incarnation": 1, "term": 0, "credentials_ciphertext": "x", "configuration": {},
    }  # fmt: skip
    return Gateway(**{**defaults, **values})


def _status(**values: Any) -> dict[str, Any]:
    return GatewayStatus(**{"generation": 3, "incarnation": 1, "steps": DONE, **values}).model_dump(mode="json")


def _machine(address: str | None, incarnation: int = 1) -> MachineReport:
    return MachineReport(
        name="m", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, address=address, instance="i",
        incarnation=incarnation,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (_row(registered_at=None, mode="idle"), "awaiting-registration"),
        (_row(mode="idle"), "pending"),
        (_row(mode="idle", status=_status()), "pending"),
        (_row(status=None), "provisioning"),
        (_row(status=_status()), "running"),
        (_row(status=_status(generation=2)), "provisioning"),
        (_row(status=_status(generation=4)), "provisioning"),
        (_row(incarnation=2, status=_status()), "provisioning"),
        (_row(status=_status(steps=DONE[:9])), "provisioning"),
        (_row(status=_status(steps=[*DONE[:9], StepReport(name=StepName.JET_REGISTERED)])), "provisioning"),
        (_row(mode="delete", status=_status()), "deleting"),
        (_row(mode="delete", registered_at=None), "deleting"),
    ],
)
def test_state(row: Gateway, state: str):
    assert state_of(row, status_of(row)) == state


@pytest.mark.parametrize(
    ("row", "done"),
    [
        (_row(), 0),
        (_row(status=_status()), 10),
        (_row(status=_status(generation=1)), 10),
        (_row(status=_status(), incarnation=2), 0),
        (_row(status=_status(), mode="idle"), 0),
        (_row(status=_status(steps=DONE[:3])), 3),
    ],
)
def test_steps_are_always_all_ten_in_order(row: Gateway, done: int):
    steps = steps_of(row, status_of(row))
    assert [step.name for step in steps] == list(StepName)
    assert sum(step.state is StepState.DONE for step in steps) == done


def _told(name: ConditionName) -> ConditionReport:
    return ConditionReport(name=name, reason="told", since=NOON)


@pytest.mark.parametrize(
    ("row", "minutes", "connected", "names"),
    [
        (_row(registered_at=None, mode="idle"), 9, False, set()),
        (_row(registered_at=None, mode="idle"), 10, False, {"registration-overdue"}),
        (_row(), 60, True, set()),
        (_row(), 60, False, {"disconnected"}),
        (_row(credentials_ciphertext=None), 0, True, {"credentials-needed"}),
        (_row(credentials_ciphertext=None, mode="idle"), 0, True, set()),
        (_row(incarnation=2), 0, True, {"cleaning-up"}),
        (_row(incarnation=2, status=_status(clean=True)), 0, True, {"cleaning-up"}),
        (_row(incarnation=2, status=_status(incarnation=2)), 0, True, {"cleaning-up"}),
        (_row(incarnation=2, status=_status(incarnation=2, clean=True)), 0, True, set()),
        (_row(incarnation=2, mode="delete"), 0, True, set()),
        (_row(status=_status(conditions=[_told(ConditionName.STALLED)])), 0, True, {"stalled"}),
        (
            _row(status=_status(conditions=[_told(ConditionName.STALLED)], clean=True), incarnation=2),
            0, True, {"cleaning-up"},
        ),
    ],
)  # fmt: skip
def test_conditions(row: Gateway, minutes: int, connected: bool, names: set[str]):
    presence = Presence()
    if connected:
        presence.arrived("g", NOON)
    view = view_of(row, presence, NOON, NOON + timedelta(minutes=minutes))
    assert {condition.name for condition in view.conditions} == names
    assert view.registration_overdue is ("registration-overdue" in names)


def test_what_the_gateway_told_of_a_condition_goes_before_what_we_know():
    row = _row(credentials_ciphertext=None, status=_status(conditions=[_told(ConditionName.CREDENTIALS_NEEDED)]))
    presence = Presence()
    presence.arrived("g", NOON)
    (condition,) = view_of(row, presence, None, NOON).conditions
    assert condition.reason == "told"


@pytest.mark.parametrize(
    ("row", "address"),
    [
        (_row(), None),
        (_row(status=_status()), None),
        (_row(status=_status(machines=[_machine(None), _machine("127.64.0.9")])), "127.64.0.9"),
        (
            _row(
                configuration={"network": {"controlPlaneAddress": "127.64.0.5"}},
                status=_status(machines=[_machine("127.64.0.9")]),
            ),
            "127.64.0.5",
        ),
        (_row(incarnation=2, status=_status(machines=[_machine("127.64.0.9")])), None),
    ],
)
def test_address(row: Gateway, address: str | None):
    assert view_of(row, Presence(), None, NOON).address == address


def test_presence_says_since_when():
    presence = Presence()
    presence.arrived("g", NOON)
    presence.heard("g", NOON + timedelta(seconds=5))
    presence.left("g", NOON + timedelta(seconds=65))
    view = view_of(_row(), presence, None, NOON + timedelta(hours=1))
    assert view.last_seen == NOON + timedelta(seconds=5)
    assert view.conditions[0].since == NOON + timedelta(seconds=65)
    presence.forget("g")
    kept = view_of(_row(last_seen=NOON), presence, None, NOON + timedelta(hours=1))
    assert (kept.last_seen, kept.conditions[0].since) == (NOON, NOON)


def test_the_fingerprint_is_the_installers():
    assert view_of(_row(), Presence(), None, NOON).fingerprint == fingerprint(KEYS.public_signing, KEYS.public_sealing)
    assert view_of(_row(signing_key=None), Presence(), None, NOON).fingerprint is None
