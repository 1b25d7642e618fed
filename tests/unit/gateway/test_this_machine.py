"""What a machine tells of its installer, and the live diagnosis made of it: bounded, whatever hangs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pcg.bundle.reading import LogReading
from pcg.clock import SystemClock
from pcg.diagnosis.engine import diagnose
from pcg.diagnosis.facts import Facts
from pcg.diagnosis.probes.answer import About, Outcome
from pcg.errors import Refused
from pcg.gateway import probe_plan, this_machine
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.installation import Installation, installation_of
from pcg.gateway.installer import InstallSettings, check
from pcg.gateway.machine_knowledge import Given, Knowledge, what_is_known
from pcg.gateway.memory import Memory
from pcg.gateway.signs_of_life import SignsOfLife
from pcg.gateway.store import GatewayStore
from pcg.gateway.this_machine import examine_this_machine
from pcg.model.desired import DesiredState
from pcg.model.records import GatewayStatus, MachineReport
from pcg.model.states import MachineRole, MachineState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PIN = f"sha256:{'ab' * 32}"


def known(folder: Path, **more: object) -> Knowledge:
    given = {"state": folder / "state", "service_settings": folder / "installer.env", **more}
    return what_is_known(Given(**given), NOW)  # type: ignore[arg-type]  # as a test gives it


def started(folder: Path, **more: object) -> StateDirectory:
    """A state folder after an installer's start."""
    state = StateDirectory(folder / "state")
    with state.locked():
        state.keys()
    kept = {"endpoint": "https://kept.example.com", "ca_pin": PIN, **more}
    state.begin(Installation(**kept))  # type: ignore[arg-type]
    return state


def registered(state: StateDirectory) -> None:
    names = {"gateway_id": "11111111-1111-4111-8111-111111111111", "gateway_name": "g", "console_id": "c"}
    rest = {"identity_key": "k", "ca": "of the console", "pairing_key": "p", "signing_key": "s"}
    state.register(Registration(**names, **rest))


def test_nothing_is_known_of_an_empty_machine(tmp_path: Path) -> None:
    found = known(tmp_path)
    assert (found.start, found.installer.expected, found.unread) == (None, "", [])
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_counts_before_what_is_kept_and_that_before_the_service_s(tmp_path: Path) -> None:
    settings = tmp_path / "installer.env"
    settings.write_text('# a comment\nPCG_ENDPOINT="https://service.example.com"\nPCG_NO_PROXY=.example.com\n')
    (tmp_path / "https-proxy").write_text("http://user:secret@proxy.example.com:3128\n")
    found = known(tmp_path)
    assert found.start is not None
    assert (found.start.endpoint, found.start.no_proxy) == ("https://service.example.com", ".example.com")
    assert found.https_proxy == "http://user:secret@proxy.example.com:3128"
    assert str(settings) in found.installer.expected
    assert not found.installer.began

    started(tmp_path)
    found = known(tmp_path)
    assert found.start is not None
    assert (found.start.endpoint, found.start.ca_pin, found.https_proxy) == ("https://kept.example.com", PIN, None)
    assert found.installer.began

    found = known(tmp_path, endpoint="https://given.example.com")
    assert found.start is not None
    assert (found.start.endpoint, found.start.ca_pin) == ("https://given.example.com", PIN)


def test_a_password_is_never_kept_and_may_be_found_where_the_service_has_it(tmp_path: Path) -> None:
    proxy = "http://user:secret@proxy.example.com:3128"
    typed = {"endpoint": "https://kept.example.com", "state": tmp_path / "state", "ca_pin": PIN}
    plan = check(InstallSettings(**typed, https_proxy=proxy))  # type: ignore[arg-type]
    kept = installation_of(plan)
    state = started(tmp_path, **kept.model_dump(exclude={"endpoint", "ca_pin"}))
    written = (state.path / "installation.json").read_text()
    assert "secret" not in written
    assert "proxy.example.com:3128" in written
    assert (state.path / "installation.json").stat().st_mode & 0o777 == 0o600
    assert known(tmp_path).https_proxy == "http://proxy.example.com:3128"
    (tmp_path / "installer.env").write_text("")
    (tmp_path / "https-proxy").write_text(proxy)
    assert known(tmp_path).https_proxy == proxy


def test_memory_is_read_without_a_trace(tmp_path: Path) -> None:
    state = started(tmp_path)
    registered(state)
    with closing(GatewayStore(state.database)) as store:
        Memory(store).save_desired(DesiredState(generation=4, incarnation=2, mode="run"))
        store.put("installer-jet", "back-off")
        running = sorted(path.name for path in state.path.iterdir())
        found = known(tmp_path)
        assert sorted(path.name for path in state.path.iterdir()) == running
    stopped = sorted(path.name for path in state.path.iterdir())
    assert known(tmp_path).desired == found.desired
    assert sorted(path.name for path in state.path.iterdir()) == stopped
    assert found.desired is not None
    assert (found.status.generation, found.status.incarnation) == (4, 2)
    assert found.jets[0].back_off
    assert found.installer.registered
    assert found.start is not None
    assert (found.start.ca, found.start.ca_pin) == ("of the console", None)


def test_the_console_s_final_no_and_the_addresses_that_the_gateway_saw(tmp_path: Path) -> None:
    state, clock = started(tmp_path), SystemClock()
    life = SignsOfLife(state.path, "https://kept.example.com", clock)
    life.end(Refused("The pairing code has expired.", reason="pairing-code-expired"))
    found = known(tmp_path)
    assert found.way is not None
    facts = Facts(NOW, found.status, way=found.way, installer=found.installer)
    assert [finding.key for finding in diagnose(facts)] == [("installer-not-registered", "pairing-code-expired")]

    name, mark = "node-1", "11111111-1111-4111-8111-111111111111"
    machine = MachineReport(
        name=name,
        role=MachineRole.CONTROL_PLANE,
        state=MachineState.READY,
        address="192.0.2.7",
        instance=mark,
        incarnation=0,
    )
    life.status = lambda: GatewayStatus(generation=1, incarnation=0, machines=[machine])
    life.end(None)
    found = known(tmp_path)
    assert (found.way, found.first_address) == (None, "192.0.2.7")


def test_damaged_files_are_told_beside_what_can_be_read(tmp_path: Path) -> None:
    state = started(tmp_path)
    state.database.write_bytes(b"no database at all" * 100)
    (state.path / "registration.json").write_text("{")
    found = known(tmp_path)
    assert [Path(name).name for name, _ in found.unread] == ["state", "gateway.db"]
    assert found.start is not None
    assert not found.installer.registered


def test_a_deleted_gateway_is_not_missed(tmp_path: Path) -> None:
    state = started(tmp_path)
    registered(state)
    state.wipe()
    (tmp_path / "installer.env").write_text("PCG_ENDPOINT=https://service.example.com\n")
    assert known(tmp_path).installer.expected == ""


@pytest.mark.parametrize("content,why", [(None, "cannot be read"), ("<nonsense", "not well-formed")])
def test_an_appliance_without_its_properties(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "ovf-env.xml").write_text(content)
    found = known(tmp_path, ovf_env=tmp_path / "ovf-env.xml")
    assert why in found.installer.properties
    assert "ovf-env.xml" in found.installer.expected


async def test_what_is_not_done_in_time_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs under the logs, and a console that accepts and never speaks."""
    hangs = threading.Event()

    def read(*_: object) -> LogReading:
        hangs.wait(60)
        raise AssertionError

    monkeypatch.setattr(this_machine, "read_logs", read)
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = Given(
            state=tmp_path / "state",
            endpoint=f"https://127.0.0.1:{silent.getsockname()[1]}",
            service_settings=tmp_path / "installer.env",
            dhcp=False,
        )
        began = time.monotonic()
        report = await examine_this_machine(given, NOW, logs=tmp_path, heard=heard.append, seconds=0.5)
        taken = time.monotonic() - began
    hangs.set()
    assert taken < 5
    late = [answer for answer in report.probes if answer.probe == "the rest"]
    assert [(answer.about, answer.answer) for answer in late] == [(About.CONSOLE, Outcome.UNKNOWN)]
    assert heard == list(report.probes)
    assert report.logs is None
    assert [name for name, _ in report.unread] == [str(tmp_path)]
    answers = {checked.scenario: checked.answer for checked in report.verdict.checked}
    assert answers["installer-not-registered"] == "cannot-tell"


async def test_a_mistake_in_reading_logs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> LogReading:
        raise KeyError("of ours")

    monkeypatch.setattr(this_machine, "read_logs", read)
    report = await examine_this_machine(Given(state=tmp_path / "state", dhcp=False), NOW, logs=tmp_path)
    assert "reading itself failed" in dict(report.unread)[str(tmp_path)]
    assert report.probes


async def test_a_mistake_in_one_part_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object) -> None:
        raise KeyError("of ours")

    monkeypatch.setattr(probe_plan, "probe_console", mistaken)
    given = Given(state=tmp_path / "state", endpoint="https://127.0.0.1:9", dhcp=False)
    report = await examine_this_machine(given, NOW, logs=None)
    told = {answer.about: answer for answer in report.probes}
    assert told[About.DISK].answer is Outcome.PASSED
    assert (told[About.CONSOLE].answer, told[About.CONSOLE].needs) == (Outcome.UNKNOWN, "a report of this mistake")


async def test_a_state_folder_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def wait(*_: object) -> Knowledge:
        hangs.wait(60)
        raise AssertionError

    monkeypatch.setattr(this_machine, "what_is_known", wait)
    monkeypatch.setattr(this_machine, "STATE_SECONDS", 0.1)
    given = Given(state=tmp_path / "state", endpoint="https://127.0.0.1:9", dhcp=False)
    async with asyncio.timeout(10):
        report = await examine_this_machine(given, NOW, logs=None, seconds=2)
    hangs.set()
    assert [name for name, _ in report.unread] == [str(given.state)]
    assert [answer.kind for answer in report.probes if answer.failed] == ["connection-refused"]
