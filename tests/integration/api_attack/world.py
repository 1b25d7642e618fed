"""A console with something to attack: users of every role, gateways in every state, one of them connected.

Made by the fixtures of `conftest.py`. What an attack destroys is made anew by `restore`, so that the next one meets it.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import event, func, select, union_all

from doubles.gateway import NOON, GatewayDouble
from integration.console.conftest import BASE, CONFIGURATION, PASSWORD, Console, forget_guesses, status
from pcg.bundle.analysis import Analysis
from pcg.console.accounts import SignedIn
from pcg.console.bundle_records import BundleFolder, BundleRecord, BundleState
from pcg.console.store.models import ApiKey, AuditEntry, Gateway, User
from pcg.console.streams import Topic
from pcg.errors import Unreachable
from pcg.model.records import Event
from pcg.model.states import Role
from pcg.sealing import boxes
from pcg.wire import frames

GATEWAYS = ("waiting", "registered", "configured", "connected")
"""unregistered; registered; configured but away; configured and connected, so that it answers questions"""

CIPHERTEXT = base64.b64encode(b"x" * 80).decode()

ANSWERS: dict[str, dict[str, Any]] = {
    "preflight": {"checks": [{"what": "the cloud answers", "ok": True}, {"what": "a name server", "ok": None}]},
    "inventory": {"datacenters": [{"name": "dc-1"}]},
    "kubeconfig": {"kubeconfig": "apiVersion: v1\n"},
    "bundle": {"state": "failed", "problem": {"reason": "tested", "what": "no logs", "at": "2026-06-01T12:00:00Z"}},
}


@dataclass(repr=False)
class World:
    """`keys` by actor; the key of `deleted` was a user's who is gone. `ids` by the names in GATEWAYS."""

    console: Console
    keys: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    gateways: dict[str, GatewayDouble] = field(default_factory=dict)
    victim_user: str = ""
    victim_key: str = ""
    victim_bundle: str = ""
    """ready, of the gateway `configured`"""
    answering: Callable[[GatewayDouble, frames.Request], Awaitable[None]] = field(default_factory=lambda: _answered)
    """what the connected gateway does when it is asked; a test may put something else here"""
    client: httpx.AsyncClient = field(init=False)
    unstorable: list[str] = field(default_factory=list)
    """what reached the store and is more than PostgreSQL takes, which SQLite would not tell"""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def build(self) -> None:
        self.client = self.console.anonymous()
        event.listen(self.console.service.database.engine.sync_engine, "before_cursor_execute", self._look)
        accounts = self.console.service.accounts
        for name, role in (*((role.value, role) for role in Role), ("deleted", Role.ADMIN)):
            user = await accounts.create_user(self.console.admin, f"{name}@people.example", role, PASSWORD)
            actor = await accounts.check_password(user.email, PASSWORD)
            self.users[name] = user.id
            self.keys[name] = (await accounts.create_key(actor, "its own")).key
        await accounts.delete_user(self.console.admin, self.users["deleted"])
        for name in GATEWAYS:
            await self._make(name)
        await self.restore()

    async def begin(self) -> None:
        """As a test finds it, whatever an earlier one did: also wrong passwords are forgotten."""
        self.answering = _answered
        forget_guesses(self.console.service)
        self.unstorable.clear()
        await self.restore()

    async def settle(self, method: str, status: int) -> None:
        """After an answer: what only looked, or was refused, has destroyed nothing."""
        if method not in ("GET", "HEAD") and status < 400:
            await self.restore()

    async def restore(self) -> None:
        """Whatever was deleted, or is about to be, is there again."""
        accounts, number = self.console.service.accounts, next(self._numbers)
        # This is asked after thousands of attacks: two questions, and no more columns than are needed.
        states = select(Gateway.id, Gateway.mode, Gateway.registered_at).where(Gateway.id.in_(self.ids.values()))
        user, key = User.id == self.victim_user, ApiKey.id == self.victim_key
        async with self.console.service.database.read() as session:
            rows = {row.id: row for row in await session.execute(states)}
            victims = set(await session.scalars(union_all(select(User.id).where(user), select(ApiKey.id).where(key))))
        found = {name: rows.get(gateway_id) for name, gateway_id in self.ids.items()}
        gone = [name for name, row in found.items() if row is None or row.mode == "delete"]
        waiting = found.get("waiting")
        if waiting is not None and waiting.registered_at is not None:
            gone.append("waiting")
        reset = [name for name in ("configured", "connected") if (row := found.get(name)) and row.mode == "idle"]
        for name in gone:
            await self._make(name)
        await self._restore_bundle()
        for name in reset:
            await self.console.service.configurations.configure(self.console.admin, self.ids[name], CONFIGURATION)
        if self.victim_user not in victims:
            made = await accounts.create_user(self.console.admin, f"victim-{number}@example.com", Role.VIEWER, PASSWORD)
            self.victim_user = made.id
        if self.victim_key not in victims:
            self.victim_key = (await accounts.create_key(self.console.admin, f"victim {number}")).id

    async def _restore_bundle(self) -> None:
        """A ready one, and none under way."""
        bundles, gateway_id = self.console.app.state.bundles, self.ids["configured"]
        await bundles.forget(self.ids["connected"])
        if [record.id for record in bundles._of(gateway_id)] == [self.victim_bundle]:
            return
        # As at a start of the console.
        await bundles.close()
        folder = BundleFolder(self.console.app.state.settings.data / "bundles")
        now, self.victim_bundle = self.console.service.clock.now(), str(uuid.uuid4())
        folder.save(
            BundleRecord(
                id=self.victim_bundle, gateway_id=gateway_id, asked_at=now, asked_by="admin@example.com",
                state=BundleState.READY, changed_at=now, size=5, received=5, sha256="0" * 64, analysis=Analysis(),
            )
        )  # fmt: skip
        folder.archive(self.victim_bundle).write_bytes(b"bytes")
        await bundles.open()

    async def session(self, name: str) -> SignedIn:
        """A browser's, of the user of this role."""
        return await self.console.service.accounts.sign_in(f"{name}@people.example", PASSWORD)

    async def deleted_session(self) -> str:
        """Of somebody who was deleted a moment ago."""
        accounts, email = self.console.service.accounts, f"gone-{self.number()}@people.example"
        user = await accounts.create_user(self.console.admin, email, Role.ADMIN, PASSWORD)
        signed_in = await accounts.sign_in(email, PASSWORD)
        await accounts.delete_user(self.console.admin, user.id)
        return signed_in.token

    async def jet_token(self, name: str) -> str:
        """As the gateway opens it: sealed to its key in the desired state."""
        async with self.console.service.database.read() as session:
            row = await session.get(Gateway, self.ids[name])
            assert row is not None and row.jet_token_sealed is not None
            return boxes.open_sealed(self.gateways[name].keys.opening, row.jet_token_sealed).decode()

    async def poll_token(self) -> str:
        return str((await self.client.post("/gateway/v1/poll")).json()["session"])

    async def audited(self) -> int:
        """How much has been done. That something was refused is no deed, and is written when there is time."""
        deeds = AuditEntry.action.not_in(["key-refused", "sign-in-failed", "registration-refused"])
        async with self.console.service.database.read() as session:
            return int(await session.scalar(select(func.count()).select_from(AuditEntry).where(deeds)) or 0)

    def number(self) -> str:
        return str(next(self._numbers))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.aclose()

    async def _make(self, name: str) -> None:
        called = f"{name} {next(self._numbers)}"
        if name == "waiting":
            self.ids[name] = await self.console.create(called)
            return
        if name == "registered":
            self.ids[name], keys = await self.console.registered(called)
        else:
            self.ids[name], keys = await self.console.configured(called)
        gateway = GatewayDouble(self.console.service, self.console.app.state.hub, self.ids[name], keys)
        self.gateways[name] = gateway
        if name == "connected":
            await gateway.connect()
            self._keep(self.answer(gateway))
            reports = [frames.Report(writer="w", number=number, event=_event(number)) for number in range(1, 6)]
            await self.console.service.reports.store_reports(gateway.gateway_id, reports)
            told = status(generation=1)
            await self.console.service.reports.store_status(gateway.gateway_id, gateway.term, 1, told)
            self.console.service.streams.notify(gateway.gateway_id, Topic.STATUS)

    def _look(self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        for value in _flat(parameters):
            # Within JSON it is written so; a question's own text may look like it.
            within = "\\u0000" in str(value) and not statement.startswith("SELECT")
            if isinstance(value, str) and ("\0" in value or within):
                self.unstorable.append(f"{statement[:200]}: {value[:100]!r}")

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answer(self, gateway: GatewayDouble) -> None:
        """What a gateway does all day: answers what it is asked, and shows that it lives."""
        try:
            while True:
                frame = frames.decode(await gateway.end.receive())
                if isinstance(frame, frames.Request):
                    await self.answering(gateway, frame)
                elif isinstance(frame, frames.Heartbeat):
                    await gateway.send(frames.Heartbeat())
        except Unreachable:
            return


async def _answered(gateway: GatewayDouble, request: frames.Request) -> None:
    await gateway.send(frames.Response(id=request.id, ok=True, body=ANSWERS[request.verb]))


def _flat(parameters: Any) -> Iterator[Any]:
    """Of one statement or of many at once, by name or by position."""
    if isinstance(parameters, dict):
        parameters = list(parameters.values())
    if isinstance(parameters, (list, tuple)):
        for part in parameters:
            yield from _flat(part)
    else:
        yield parameters


def _event(number: int) -> Event:
    return Event(at=NOON, reason="tested", message=f"event {number}")


__all__ = ["BASE", "CIPHERTEXT", "CONFIGURATION", "GATEWAYS", "World"]
