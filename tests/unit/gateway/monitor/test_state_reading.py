"""The state folder seen from outside: a gateway that is well, silent, dead, deleted; a database in every bad way."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pcg.clock import SystemClock
from pcg.errors import Refused, Unreachable
from pcg.gateway.bootstrap_steps import BootstrapStep, BootstrapSteps
from pcg.gateway.memory import Memory
from pcg.gateway.monitor.state_reading import SILENT_AFTER, Life, look
from pcg.gateway.signs_of_life import FILE, SignsOfLife
from pcg.gateway.steps_ledger import Ledger
from pcg.gateway.store import GatewayStore
from pcg.model.records import Event
from pcg.model.states import StepName, StepState

CLOCK = SystemClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    """As a gateway that is at work leaves it: one step done, the next at work."""
    with closing(GatewayStore(tmp_path / "gateway.db")) as made:
        memory = Memory(made)
        ledger = Ledger(made, memory, CLOCK)
        ledger.done(StepName.VALIDATE_CONFIGURATION)
        ledger.failed(StepName.CONNECT, Unreachable("vcenter.example.com does not answer.", "connect"), 5.0)
        made.append(Event(at=CLOCK.now(), reason="Registered", message="<b>hello</b>"))
        yield made


def told(folder: Path) -> SignsOfLife:
    life = SignsOfLife(folder, "https://console.example.com", CLOCK)
    life._write()
    return life


def test_a_gateway_at_work(tmp_path: Path, store: GatewayStore) -> None:
    told(tmp_path)
    seen = look(tmp_path)
    assert (seen.life, seen.troubles) == (Life.RUNNING, [])
    assert [step.state for step in seen.steps[:3]] == [StepState.DONE, StepState.FAILED, StepState.WAITING]
    assert seen.steps[1].last_error is not None
    assert seen.events[0].reason == "Registered"
    assert seen.waiting == 3


def test_a_process_that_does_not_turn_any_more(tmp_path: Path, store: GatewayStore) -> None:
    told(tmp_path)
    seen = look(tmp_path, CLOCK.now() + SILENT_AFTER)
    assert seen.life is Life.SILENT


def test_a_dead_process_with_and_without_a_word(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pcg.clock import SystemClock; from pcg.errors import Refused;"
        "from pcg.gateway.signs_of_life import SignsOfLife;"
        "life = SignsOfLife(Path(sys.argv[1]), 'https://console.example.com', SystemClock()); life._write();"
        "sys.argv[2] == 'refused' and life.end(Refused('The console has revoked it.', 'revoked'));"
        "sys.argv[2] == 'stopped' and life.end(None)"
    )
    for how in ("killed", "refused", "stopped"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path), how], check=True, timeout=60)
        seen = look(tmp_path)
        assert seen.life is Life.ENDED
        assert seen.last_beat is not None
        assert CLOCK.now() - seen.last_beat < timedelta(minutes=1)
        assert (seen.ended.reason if seen.ended else None) == ("revoked" if how == "refused" else None)
        assert seen.alive is not None
        assert seen.alive.stopped is (how == "stopped")


def test_a_later_process_with_the_same_number_is_not_taken_for_it(tmp_path: Path) -> None:
    told(tmp_path)
    document = json.loads((tmp_path / FILE).read_text())
    document["process"] = document["process"].rpartition(" ")[0] + " 1"
    (tmp_path / FILE).write_text(json.dumps(document))
    assert look(tmp_path).life is Life.ENDED


def test_a_process_in_another_container_is_known_by_its_beat(tmp_path: Path) -> None:
    told(tmp_path)
    document = json.loads((tmp_path / FILE).read_text()) | {"process": "pid:[1] 1 1"}
    (tmp_path / FILE).write_text(json.dumps(document))
    assert look(tmp_path).life is Life.RUNNING
    assert look(tmp_path, CLOCK.now() + SILENT_AFTER).life is Life.ENDED


def test_nothing_there_yet_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert look(tmp_path).life is Life.NEVER
    assert look(tmp_path).troubles == []
    missing = look(tmp_path / "none")
    assert "no such folder" in missing.troubles[0]
    assert len(missing.steps) == len(StepName)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_broken_database_is_told_and_the_rest_is_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gateway.db").write_bytes(content)
    told(tmp_path)
    seen = look(tmp_path)
    assert seen.life is Life.RUNNING
    assert "gateway.db cannot be read now" in seen.troubles[0]


def test_a_locked_database_is_not_waited_for(tmp_path: Path, store: GatewayStore) -> None:
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        assert look(tmp_path).troubles == []
        store.close()
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        # As a rollback journal's lock is met; the marker makes it be opened without the short cut for one left alone.
        (tmp_path / "gateway.db-wal").touch()
        seen = look(tmp_path)
        assert any("locked" in trouble for trouble in seen.troubles), seen.troubles


def test_looking_writes_nothing(tmp_path: Path, store: GatewayStore) -> None:
    told(tmp_path)
    store.close()
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert look(tmp_path).waiting == 3
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", [FILE, "registration.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b'{"process": 7}'])
def test_a_damaged_file_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert any("cannot be read" in trouble for trouble in look(tmp_path).troubles)


def test_bootstrap_tells_where_it_stands(tmp_path: Path) -> None:
    steps = BootstrapSteps(CLOCK, lambda line: None)
    steps.begin(BootstrapStep.NETWORK)
    steps.done("198.51.100.7 port 443 answers")
    steps.begin(BootstrapStep.TIME)
    steps.failed(Unreachable("No answer.", "connect", remedy=["Open the firewall."]), 1, 30.0)
    life = SignsOfLife(tmp_path, "https://console.example.com", CLOCK)
    life.bootstrap = steps.reports
    life._write()
    network, time, *others = look(tmp_path).bootstrap
    assert (network.state, network.detail) == (StepState.DONE, "198.51.100.7 port 443 answers")
    assert time.state is StepState.FAILED
    assert time.last_error is not None
    assert time.last_error.remedy == ["Open the firewall."]
    assert time.next_try is not None
    assert time.next_try > datetime.now(UTC)
    assert {step.state for step in others} == {StepState.WAITING}


def test_what_cannot_be_written_does_not_stop_the_gateway(tmp_path: Path) -> None:
    life = SignsOfLife(tmp_path / "none", "https://console.example.com", CLOCK)
    life._write()
    life.end(Refused("No.", "no"))
    (tmp_path / "none").mkdir()
    life._write()
    assert look(tmp_path / "none").life is Life.RUNNING


def test_the_gateways_process_loads_neither_the_page_nor_a_web_framework() -> None:
    script = (
        "import sys; import pcg.gateway.agent;"
        "print([name for name in sys.modules if name.split('.')[0] in ('starlette', 'uvicorn', 'fastapi', 'jinja2')"
        " or name.startswith('pcg.gateway.monitor')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
