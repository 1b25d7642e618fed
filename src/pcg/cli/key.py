"""`pcg key`: API keys for scripts."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from pcg.cli.client import open_console
from pcg.cli.output import output_option, show_json, show_table


@click.group()
def key() -> None:
    """API keys for scripts."""


@key.command("list")
@output_option
def list_keys(output: str) -> None:
    """Keys that exist; the keys themselves are never shown again."""
    keys = asyncio.run(_items("/keys"))
    if output == "json":
        show_json(keys)
    else:
        show_table(keys, ["id", "name", "role", "created_at", "last_used_at"])


@key.command("create")
@click.argument("name")
@output_option
def create_key(name: str, output: str) -> None:
    """Make a key and print it, once."""
    made = asyncio.run(_call("POST", "/keys", {"name": name}))
    if output == "json":
        show_json(made)
    else:
        click.echo(made["key"])


@key.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """End a key at once."""
    asyncio.run(_call("DELETE", f"/keys/{key_id}"))


async def _items(path: str) -> list[dict[str, Any]]:
    async with open_console() as console:
        return await console.items(path)


async def _call(method: str, path: str, body: Any = None) -> Any:
    async with open_console() as console:
        return await console.call(method, path, body)
