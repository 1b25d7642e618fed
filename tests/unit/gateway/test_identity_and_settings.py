"""Who the gateway is, on disk; and what is refused before any network call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pcg.errors import Conflict, InvalidInput, SetupMissing
from pcg.gateway.backoff import Backoff
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installer import InstallSettings, check
from pcg.sealing import pairing_code

PIN = "sha256:" + "0" * 64


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "state")
    with made.locked():
        pass
    return made


def registration(state: StateDirectory) -> Registration:
    return Registration(
        gateway_id="g",
        gateway_name="name",
        console_id="c",
        identity_key="k",
        ca="pem",
        signing_key=state.keys().public_signing,
        pairing_key="p",
    )


def test_keys_are_made_once_and_only_ours_to_read(state: StateDirectory) -> None:
    first = state.keys()
    assert StateDirectory(state.path).keys().to_json() == first.to_json()
    assert (state.path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_a_registration_is_kept_whole(state: StateDirectory) -> None:
    assert state.registration() is None
    made = registration(state)
    state.register(made)
    assert state.registration() == made


@pytest.mark.parametrize("name", ["keys.json", "registration.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"signing": "x"}', "\udcff"])
def test_damage_is_told(state: StateDirectory, name: str, damage: str) -> None:
    (state.path / name).write_bytes(damage.encode(errors="surrogateescape"))
    with pytest.raises(SetupMissing):
        state.keys() if name == "keys.json" else state.registration()


def test_only_one_process_at_a_time(state: StateDirectory) -> None:
    other = StateDirectory(state.path).locked()
    with state.locked(), pytest.raises(Conflict, match="Another gateway process"), other:
        pass
    with state.locked():
        pass


def test_wiping_leaves_nothing_and_can_be_finished_later(state: StateDirectory) -> None:
    state.register(registration(state))
    state.put_jet_token(b"token")
    state.database.write_text("x")
    assert not state.half_wiped()
    state.wipe()
    assert sorted(path.name for path in state.path.rglob("*") if path.is_file()) == ["deleted", "lock"]
    assert state.deleted_gateway() == registration(state).pairing_key
    (state.path / "wiping").write_text("of before the kill")
    assert state.half_wiped()
    state.wipe()
    assert state.deleted_gateway() == "of before the kill"
    state.begin_anew()
    assert state.deleted_gateway() is None


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupMissing), StateDirectory(tmp_path / "file" / "state").locked():
        pass


def settings(**changes: Any) -> InstallSettings:
    values = {"endpoint": "https://c", "state": Path("/x"), "pairing_code": pairing_code.generate(), "ca_pin": PIN}
    return InstallSettings(**{**values, **changes})


def test_good_settings_pass() -> None:
    plan = check(settings(endpoint="https://c/", https_proxy="http://proxy:3128/"))
    assert (plan.endpoint.url, plan.pin, plan.proxies.https) == ("https://c", PIN, "http://proxy:3128")
    assert plan.notices == [
        "a trailing slash was taken off the endpoint",
        "https-proxy: a trailing slash was taken off",
    ]
    assert settings().pairing_code not in repr(settings()) + repr(plan)


@pytest.mark.parametrize(
    "field,changes",
    [
        ("endpoint", {"endpoint": "http://c"}),
        ("pairing-code", {"pairing_code": "00000-00000-00000-00001"}),
        ("pairing-code", {"pairing_code": "short"}),
        ("ca-pin", {"ca_pin": "sha256:0"}),
        ("ca-pin", {"ca_pin": None}),
        ("ca-pin", {"ca": "pem"}),
        ("ca", {"ca_pin": None, "ca": "not a certificate"}),
        ("https-proxy", {"https_proxy": "proxy"}),
        ("https-proxy", {"https_proxy": "ftp://proxy"}),
        ("https-proxy", {"https_proxy": "http://proxy:99999"}),
        ("https-proxy", {"https_proxy": "http://proxy/path"}),
        ("give-up-after", {"give_up_after": 0.0}),
        ("jet-speed", {"jet_speed": -1.0}),
        ("machine-speed", {"machine_speed": 0.0}),
    ],
)
def test_wrong_settings_are_refused_with_their_field(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(settings(**changes))
    assert caught.value.field_name == field


def test_waits_grow_to_their_bound_with_full_jitter() -> None:
    tries = Backoff(first=1, most=60)
    waits = [tries.next() for _ in range(200)]
    assert all(0 <= wait <= min(60, 2**number) for number, wait in enumerate(waits))
    assert max(waits) > 40
    assert min(waits[10:]) < 10
    tries.reset()
    assert tries.next() <= 1
    assert 5 <= tries.next(5) <= 7
