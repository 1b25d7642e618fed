"""Acknowledged events are kept for a while, and come again for a console that was restored: once, in order, bounded."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcg.gateway.kept_events import KEPT_FOR
from pcg.gateway.store import GatewayStore
from pcg.model.records import Event
from pcg.wire import frames
from pcg.wire.frames import MAXIMUM_WRITERS, Report

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(message: str, at: datetime = NOW) -> Event:
    return Event(at=at, reason="Tested", message=message)


def rows(store: GatewayStore) -> int:
    return int(store._database.execute("SELECT count(*) FROM outbox").fetchone()[0])


def waiting(store: GatewayStore) -> list[str]:
    return [report.event.message for report in store.pending(limit=100_000)[1]]


class Console:
    """A mock: stores each event once, can be put back to an earlier time, and names in its welcome what it is asked."""

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}
        self.messages: list[str] = []
        self.taken = 0

    def take(self, reports: list[Report]) -> None:
        self.taken += len(reports)
        for report in reports:
            if report.number > self.stored.get(report.writer, 0):
                self.stored[report.writer] = report.number
                self.messages.append(report.event.message)

    def welcome(self, store: GatewayStore) -> None:
        store.console_has({**dict.fromkeys(store.writers(), 0), **self.stored}, NOW)

    def take_all(self, store: GatewayStore) -> None:
        while reports := store.pending()[1]:
            self.take(reports)
            store.acknowledge({report.writer: report.number for report in reports})


_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(1, 4)),
        st.tuples(
            st.sampled_from(["acknowledge", "crash", "welcome", "crash within", "back up", "restore"]), st.just(0)
        ),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(_ACTIONS)
def test_every_event_arrives_once_and_in_order_however_often_the_console_is_restored(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("kept") / "gateway.db"
    console, store, made = Console(), GatewayStore(path), 0
    saved: tuple[dict[str, int], list[str]] = ({}, [])
    after, sent = 0, dict[str, int]()
    for action, amount in actions:
        if action == "append":
            for _ in range(amount):
                made += 1
                store.append(event(f"{made:05}"))
        elif action == "send":
            after, reports = store.pending(after, amount)
            console.take(reports)
            sent |= {report.writer: report.number for report in reports}
        elif action == "acknowledge":
            store.acknowledge(sent)
        elif action == "crash within":
            with pytest.raises(KeyboardInterrupt), store.transaction():
                store.console_has(dict.fromkeys(store.writers(), 0), NOW)
                raise KeyboardInterrupt
        elif action == "crash":
            store.close()
            store = GatewayStore(path)
        elif action == "back up":
            saved = (dict(console.stored), list(console.messages))
        elif action == "restore":
            console.stored, console.messages = dict(saved[0]), list(saved[1])
        if action in ("crash", "welcome", "restore"):
            # Each is the end of a session, and the next one begins with a welcome.
            console.welcome(store)
            after, sent = 0, {}
        pending = rows(store) - store._kept._count
        assert store._count == pending == len(waiting(store))
    console.take_all(store)
    assert console.messages == [f"{number:05}" for number in range(1, made + 1)]
    store.close()


def test_nothing_is_sent_again_without_need(tmp_path: Path) -> None:
    store, console = GatewayStore(tmp_path / "db"), Console()
    for number in range(10):
        store.append(event(str(number)))
    console.take_all(store)
    for _ in range(3):
        console.welcome(store)
        assert waiting(store) == []
    console.stored = {}
    for _ in range(3):
        console.welcome(store)
        console.take_all(store)
    assert console.taken == 20
    store.close()


def test_a_writer_that_is_not_named_stays_acknowledged(tmp_path: Path) -> None:
    """A console of an earlier version names the latest writers only, and a deleted gateway's none."""
    store = GatewayStore(tmp_path / "db")
    first = store.writer
    store.append(event("long ago"))
    store.acknowledge({first: 1})
    store.close()
    store = GatewayStore(tmp_path / "db")
    store.append(event("now"))
    store.console_has({f"w{number}": 5 for number in range(64)}, NOW)
    assert waiting(store) == ["now"]
    store.console_has({first: 0}, NOW)
    assert waiting(store) == ["long ago", "now"]
    store.close()


def test_the_proof_names_the_latest_writers_first_and_not_too_many(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    with store.transaction():
        for number in range(MAXIMUM_WRITERS + 5):
            text = event("x").model_dump_json()
            row = (f"w{number}", text)
            store._database.execute("INSERT INTO outbox (writer, number, event) VALUES (?, 1, ?)", row)
    named = store.writers()
    assert (named[0], named[-1], len(named)) == (f"w{MAXIMUM_WRITERS + 4}", "w5", MAXIMUM_WRITERS)
    frames.Proof(signature="", writer="w", writers=named)
    store.close()


def test_an_acknowledgement_of_what_was_never_written_swallows_nothing(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("one"))
    store.acknowledge({store.writer: 1_000_000, "nobody": 5})
    store.append(event("two"))
    assert waiting(store) == ["two"]
    store.console_has({store.writer: 1_000_000}, NOW)
    store.append(event("three"))
    assert waiting(store) == ["three"]
    store.close()


def test_an_acknowledgement_is_one_commit_and_the_same_again_writes_nothing(tmp_path: Path) -> None:
    store, statements = GatewayStore(tmp_path / "db"), list[str]()
    for number in range(64):
        store.append(event(str(number)))
    store._database.set_trace_callback(statements.append)
    store.acknowledge({store.writer: 64})
    assert [text for text in statements if text == "COMMIT"] == ["COMMIT"]
    assert len([text for text in statements if text.startswith(("INSERT", "DELETE", "UPDATE"))]) == 1
    changes = store._database.total_changes
    store.acknowledge({store.writer: 64})
    store.acknowledge({store.writer: 3})
    assert store._database.total_changes == changes
    assert waiting(store) == []
    store.close()


def test_what_is_kept_is_bounded_by_count_and_goes_in_batches(tmp_path: Path) -> None:
    store, deleted = GatewayStore(tmp_path / "db", kept_limit=100), list[int]()
    for number in range(1000):
        before = rows(store)
        store.append(event(str(number)))
        if rows(store) <= before:
            deleted.append(before + 1 - rows(store))
        store.acknowledge({store.writer: number + 1})
        assert rows(store) <= 106
    assert set(deleted) == {5}
    store.console_has({store.writer: 0}, NOW)
    kept = waiting(store)
    assert kept[-2] == "999" and 100 <= len(kept) <= 107
    assert kept[-1] == f"{1000 - len(kept) + 1} events that the console has lost are not kept here any more."
    store.console_has({store.writer: 0}, NOW)
    assert waiting(store) == kept, "told once"
    store.close()


def test_what_is_kept_is_bounded_by_size_and_the_file_with_it(tmp_path: Path) -> None:
    limit = 200_000
    store, path = GatewayStore(tmp_path / "db", kept_bytes=limit), tmp_path / "db"
    sizes = []
    for number in range(3000):
        store.append(event("x" * 1000))
        store.acknowledge({store.writer: number + 1})
        if number % 500 == 499:
            store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes.append(path.stat().st_size)
    assert store._kept._bytes <= limit + 2000
    assert max(sizes) < 3 * limit
    assert sizes[-1] == sizes[1]
    store.close()


def test_what_waits_is_never_given_up_for_what_is_kept(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db", kept_limit=10, kept_bytes=1000)
    for number in range(50):
        store.append(event(str(number)))
    store.acknowledge({store.writer: 20})
    for number in range(50, 100):
        store.append(event(str(number)))
    assert waiting(store) == [str(number) for number in range(20, 100)]
    assert rows(store) <= 80 + 11
    store.close()


def test_the_bound_of_what_waits_drops_nothing_that_is_kept(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db", outbox_limit=20)
    for number in range(10):
        store.append(event(str(number)))
    store.acknowledge({store.writer: 10})
    for number in range(10, 31):
        store.append(event(str(number)))
    assert len(waiting(store)) == 19
    assert waiting(store)[-1].startswith("3 events were dropped")
    assert rows(store) == 10 + 19
    store.close()


def test_what_is_kept_ends_by_age_in_batches(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db", kept_limit=200)
    for number in range(30):
        store.append(event(str(number), NOW + timedelta(days=number)))
    store.acknowledge({store.writer: 30})
    store.append(event("later", NOW + KEPT_FOR + timedelta(days=20)))
    # Ten a call: 0 to 19 are older than 30 days.
    assert rows(store) == 21
    store.append(event("later", NOW + KEPT_FOR + timedelta(days=20)))
    assert rows(store) == 12
    store.append(event("later", NOW + KEPT_FOR + timedelta(days=20)))
    assert rows(store) == 13
    store.close()


def test_a_mark_goes_with_the_last_event_of_its_writer(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db", kept_limit=20)
    first = store.writer
    store.append(event("first"))
    store.acknowledge({first: 1})
    store.close()
    store = GatewayStore(tmp_path / "db", kept_limit=20)
    for number in range(50):
        store.append(event(str(number)))
        store.acknowledge({store.writer: number + 1})
    marks = store._database.execute("SELECT writer, number FROM acknowledged").fetchall()
    assert marks == [(store.writer, 50)]
    assert store.writers() == [store.writer]
    store.close()


def test_a_store_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "db")
    old.executescript(
        "CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, writer TEXT NOT NULL,"
        " number INTEGER NOT NULL, event TEXT NOT NULL, UNIQUE (writer, number));"
        "CREATE TABLE memory (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    )
    old.execute("INSERT INTO outbox (writer, number, event) VALUES ('w', 7, ?)", (event("old").model_dump_json(),))
    old.commit()
    old.close()
    store = GatewayStore(tmp_path / "db")
    assert waiting(store) == ["old"]
    store.console_has({"w": 7}, NOW)
    assert waiting(store) == []
    store.close()


def test_a_deleted_gateway_keeps_nothing(tmp_path: Path) -> None:
    store = GatewayStore(tmp_path / "db")
    store.append(event("one"))
    store.acknowledge({store.writer: 1})
    store.forget()
    assert (rows(store), store.writers(), store._kept._count, store._kept._bytes) == (0, [], 0, 0)
    store.close()


@pytest.mark.looptime
async def test_a_session_sends_again_once_what_a_restored_console_lost(bench: Any) -> None:
    console = bench.console
    running = asyncio.create_task(bench.session.run())
    for number in range(300):
        bench.happen(f"E{number}")
    await asyncio.sleep(5)
    assert [reason for _, _, reason in console.events] == [f"E{number}" for number in range(300)]
    assert bench.store.pending() == (0, [])

    for lost in (250, 300):
        await console.go_away()
        del console.events[300 - lost :]
        console.stored = {bench.store.writer: 300 - lost} if lost < 300 else {}
        console.received.clear()
        bench.happen("WhileAway")
        console.come_back()
        await asyncio.sleep(120)
        assert [reason for _, _, reason in console.events][:300] == [f"E{number}" for number in range(300)]
        sent = sum(len(frame.reports) for frame in console.of_type(frames.Reports))
        await console.ends[-1].close()
        await asyncio.sleep(120)
        assert sum(len(frame.reports) for frame in console.of_type(frames.Reports)) == sent, "never a second time"
    assert [reason for _, _, reason in console.events][300:] == ["WhileAway"] * 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
