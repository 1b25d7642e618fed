"""The outbox keeps every event in order through crashes, duplicates and restored copies; its bound is counted."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.errors import SetupMissing, TryAgain
from pcg.gateway.store import MAXIMUM_EVENT_BYTES, GatewayStore
from pcg.model.records import Event
from pcg.wire.frames import Report

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(message: str, **fields: str) -> Event:
    return Event(at=NOW, reason="Tested", message=message, fields=fields)


class Console:
    """A mock: stores each event once, by (writer, number), in the order of the numbers."""

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}
        self.messages: list[str] = []

    def take(self, reports: list[Report]) -> None:
        for report in reports:
            if report.number > self.stored.get(report.writer, 0):
                self.stored[report.writer] = report.number
                self.messages.append(report.event.message)


_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["acknowledge", "crash", "crash within", "copy", "restore"]), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(_ACTIONS)
def test_every_event_that_is_not_in_a_lost_file_arrives_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("outbox")
    path, copy = folder / "gateway.db", folder / "copy.db"
    console, store, made = Console(), GatewayStore(path), 0
    kept: set[str] = set()
    copied: set[str] | None = None
    for action, amount in actions:
        if action == "append":
            for _ in range(amount):
                made += 1
                store.append(event(f"{made:05}"))
                kept.add(f"{made:05}")
        elif action == "send":
            console.take(store.pending(0, amount)[1])
        elif action == "acknowledge":
            store.acknowledge(console.stored)
        elif action == "crash":
            store.close()
            store = GatewayStore(path)
        elif action == "crash within":
            with pytest.raises(KeyboardInterrupt), store.transaction():
                store.put("key", "value")
                store.append(event("never"))
                raise KeyboardInterrupt
            store.close()
            store = GatewayStore(path)
            assert store.get("key") is None
        elif action == "copy":
            store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(path, copy)
            copied = set(kept)
        elif copied is not None:
            store.close()
            for leftover in folder.glob("gateway.db*"):
                leftover.unlink()
            shutil.copy(copy, path)
            store = GatewayStore(path)
            kept = copied | set(console.messages)
    while store.pending()[1]:
        console.take(store.pending()[1])
        store.acknowledge(console.stored)
    store.close()
    assert sorted(console.messages) == sorted(set(console.messages))
    assert set(console.messages) >= kept
    assert "never" not in console.messages
    if copied is None:
        assert console.messages == [f"{number:05}" for number in range(1, made + 1)]


def test_the_bound_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db", outbox_limit=20)
    for number in range(100):
        store.append(event(str(number)))
        assert store._count == store._database.execute("SELECT count(*) FROM outbox").fetchone()[0] <= 20
    _, reports = store.pending()
    dropped = [report.event for report in reports if report.event.reason == "EventsDropped"]
    told = [report.event.message for report in reports if report.event.reason == "Tested"]
    assert told[-1] == "99"
    # Each note of a drop takes a place too, and may itself be dropped later; the total never forgets.
    notes = store._number - 100
    assert int(dropped[-1].fields["total"]) + len(reports) == 100 + notes
    store.close()


def test_a_rolled_back_transaction_leaves_no_gap_in_the_numbers(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("one"))
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.append(event("lost"))
        raise ZeroDivisionError
    store.append(event("two"))
    assert [(report.number, report.event.message) for report in store.pending()[1]] == [(1, "one"), (2, "two")]
    store.close()


def test_an_event_too_large_for_a_frame_loses_its_fields_only(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("\x00" * 4096, text="x" * MAXIMUM_EVENT_BYTES))
    (report,) = store.pending()[1]
    assert report.event.message == "\x00" * 4096
    assert list(report.event.fields) == ["fields-too-large"]
    assert len(report.model_dump_json()) < MAXIMUM_EVENT_BYTES
    store.close()


def test_a_row_of_a_newer_version_does_not_stop_the_others(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("one"))
    store._database.execute('UPDATE outbox SET event = \'{"severity": "cosmic"}\'')
    store.append(event("two"))
    assert [report.event.reason for report in store.pending()[1]] == ["EventUnreadable", "Tested"]
    store.close()


def test_a_damaged_file_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(SetupMissing) as caught:
        GatewayStore(tmp_path / "db")
    assert caught.value.remedy


def test_a_full_disk_is_try_again_and_changes_nothing(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("one"))
    store._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(TryAgain, match="cannot be written"):
        for _ in range(100):
            store.append(event("x" * 4000))
    store._database.execute("PRAGMA max_page_count = 100000")
    before = len(store.pending(limit=1000)[1])
    store.append(event("two"))
    numbers = [report.number for report in store.pending(limit=1000)[1]]
    assert numbers == list(range(1, before + 2))
    assert store._count == len(numbers)
    store.close()


async def test_waiting_ends_after_a_commit_and_not_before(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    waiting = asyncio.create_task(store.wait_appended())
    await asyncio.sleep(0)
    with store.transaction():
        store.append(event("one"))
        assert not store._appended.is_set()
    await asyncio.wait_for(waiting, 1)
    store.close()
