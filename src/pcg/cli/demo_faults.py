"""The lab's side of a data center's process: the switch of its faults, and what it tells of itself.

Only the demo, drills and tests come here; console, gateway and diagnosis cannot (import-linter).
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx


class Lab:
    """The control side of the data center's process; its address and key stand in its ready line."""

    def __init__(self, data_center: dict[str, Any]) -> None:
        self._url = data_center["control"]
        self._key = data_center.get("control_key", "")

    async def switch(self, fault: str, *, on: bool) -> None:
        await self._call("PUT", f"faults/{fault}", {"on": on})

    async def hits(self, fault: str) -> int:
        """The faulty part's own counter."""
        return int((await self._call("GET", "faults"))[fault]["hits"])

    async def task_log(self) -> list[dict[str, Any]]:
        """Every task and guest stage: kind, object, started, finished, in seconds of one monotonic clock."""
        tasks: list[dict[str, Any]] = (await self._call("GET", "tasks"))["tasks"]
        return tasks

    async def counters(self) -> dict[str, int]:
        counters: dict[str, int] = await self._call("GET", "counters")
        return counters

    async def machines(self) -> list[dict[str, Any]]:
        """All of them, strangers too: id, name, instance, marks, power, address."""
        machines: list[dict[str, Any]] = (await self._call("GET", "machines"))["machines"]
        return machines

    async def add_stranger(self, name: str) -> str:
        return str((await self._call("POST", "machines", {"name": name}))["id"])

    async def copy(self, machine_id: str) -> str:
        """As a person clones a machine."""
        return str((await self._call("POST", f"machines/{machine_id}/clone"))["id"])

    async def power_off(self, machine_id: str) -> None:
        await self._call("POST", f"machines/{machine_id}/power-off")

    async def reconfigure(self, machine_id: str, cpus: int, memory: int) -> None:
        """`memory` in GiB."""
        await self._call("POST", f"machines/{machine_id}/reconfigure", {"cpus": cpus, "memory": memory})

    async def remove(self, machine_id: str) -> None:
        await self._call("DELETE", f"machines/{machine_id}")

    async def touch(self) -> None:
        """A piece of news about every machine that leaves nothing to do."""
        await self._call("POST", "touch")

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._client() as client:
            answer = await client.request(method, f"/lab/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _client(self) -> httpx.AsyncClient:
        # Loopback, to a process that we started, with a key that it printed to us: its certificate adds nothing.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        headers = {"Authorization": f"Bearer {self._key}"}
        return httpx.AsyncClient(base_url=self._url, verify=context, trust_env=False, headers=headers, timeout=30)
