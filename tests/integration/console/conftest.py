"""A console in this process: the real application on a real store, asked without sockets.

Files of small tests share one (`integration/conftest.py`); each test finds its store as it was when it was new.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from fastapi import FastAPI

from pcg.clock import SystemClock
from pcg.console import passwords
from pcg.console.app import create_app
from pcg.console.auth import Actor
from pcg.console.passwords import Passwords
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.console.store.database import Database
from pcg.console.store.models import Gateway, Table
from pcg.model.records import GatewayStatus, StepReport
from pcg.model.states import Role, StepName, StepState
from pcg.sealing.keys import GatewayKeys

EMAIL = "admin@example.com"
PASSWORD = "correct horse battery"
BASE = "https://console.test"

CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}


@dataclass
class Console:
    """`client` is an administrator's; `as_role` gives others."""

    app: FastAPI
    client: httpx.AsyncClient
    admin: Actor

    @property
    def service(self) -> Service:
        return self.app.state.service

    def anonymous(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=("127.0.0.9", 1))
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)

    async def as_role(self, role: Role) -> httpx.AsyncClient:
        email = f"some-{role.value}@example.com"
        await self.service.accounts.create_user(self.admin, email, role, PASSWORD)
        key = await self.service.accounts.create_key(
            await self.service.accounts.check_password(email, PASSWORD), "test"
        )
        return self.anonymous(Authorization=f"Bearer {key.key}")

    async def create(self, name: str = "one") -> str:
        answer = await self.client.post("/api/v1/gateways", json={"name": name, "cloud": "simulated"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["gateway"]["id"])

    async def registered(self, name: str = "one") -> tuple[str, GatewayKeys]:
        """A gateway as it stands after its registration."""
        gateway_id, keys = await self.create(name), GatewayKeys.generate()
        async with self.service.database.write() as session:
            row = await session.get(Gateway, gateway_id)
            assert row is not None
            row.signing_key, row.sealing_key = keys.public_signing, keys.public_sealing
            row.registered_at, row.registered_by = self.service.clock.now(), "appliance"
        return gateway_id, keys

    async def configured(self, name: str = "one") -> tuple[str, GatewayKeys]:
        gateway_id, keys = await self.registered(name)
        answer = await self.client.put(f"/api/v1/gateways/{gateway_id}/configuration", json=CONFIGURATION)
        assert answer.status_code == 200, answer.text
        return gateway_id, keys

    async def get(self, gateway_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/gateways/{gateway_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


def status(generation: int, incarnation: int = 1, *, done: bool = False, **parts: Any) -> GatewayStatus:
    state = StepState.DONE if done else StepState.WAITING
    steps = [StepReport(name=name, state=state) for name in StepName]
    return GatewayStatus(generation=generation, incarnation=incarnation, **{"steps": steps, **parts})


@pytest.fixture
def console(request: pytest.FixtureRequest) -> Console:
    made: Console = request.getfixturevalue(
        "console_as_new" if request.node.get_closest_marker("shared") else "new_console"
    )
    return made


@pytest.fixture
async def new_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    async with contextlib.asynccontextmanager(open_console)(tmp_path, monkeypatch) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Console, StoreAsNew]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("console")
        async with contextlib.asynccontextmanager(open_console)(folder, monkeypatch) as opened:
            yield opened, await StoreAsNew.of(opened.service.database)


@pytest_asyncio.fixture(loop_scope="module")
async def console_as_new(shared_console: tuple[Console, StoreAsNew]) -> Console:
    console, store = shared_console
    await store.restore(console.service.database)
    forget_guesses(console.service)
    return console


@dataclass
class StoreAsNew:
    """What a store holds before anything was done to it, by table."""

    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    async def of(cls, database: Database) -> StoreAsNew:
        async with database.read() as session:
            found = {
                table.name: [dict(row._mapping) for row in await session.execute(table.select())]
                for table in Table.metadata.sorted_tables
            }
        return cls(found)

    async def restore(self, database: Database) -> None:
        async with database.write() as session:
            for table in reversed(Table.metadata.sorted_tables):
                await session.execute(table.delete())
            for table in Table.metadata.sorted_tables:
                if self.rows[table.name]:
                    await session.execute(table.insert(), self.rows[table.name])


def forget_guesses(service: Service) -> None:
    """Wrong passwords of an earlier test are none of the next one's."""
    Passwords.__init__(service.accounts._passwords, service.clock)


async def open_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Console]:
    # The same hash with the least work: what a password costs is not what these tests are about.
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    settings = Settings(data=tmp_path, admin_email=EMAIL, admin_password=PASSWORD, public_urls=(BASE,))
    app = create_app(settings, clock=SystemClock())
    async with app.router.lifespan_context(app):
        accounts = app.state.service.accounts
        admin = await accounts.check_password(EMAIL, PASSWORD)
        key = await accounts.create_key(admin, "tests")
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url=BASE, headers={"Authorization": f"Bearer {key.key}"}
        ) as client:
            yield Console(app, client, admin)


@pytest.fixture
def loop_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For Hypothesis, whose examples are plain functions: (run a coroutine, the console, a registered gateway)."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        opened = contextlib.asynccontextmanager(open_console)(tmp_path, monkeypatch)
        console = runner.run(stack.enter_async_context(opened))
        gateway_id, _ = runner.run(console.registered())
        yield runner.run, console, gateway_id
        runner.run(stack.aclose())
