"""`pcg user`: people who may sign in, and their roles."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from pcg.cli.client import open_console
from pcg.cli.output import output_option, show_json, show_table

ROLES = click.Choice(["admin", "operator", "viewer"])


@click.group()
def user() -> None:
    """People who may sign in."""


@user.command("list")
@output_option
def list_users(output: str) -> None:
    """Users and their roles."""

    async def run() -> list[dict[str, Any]]:
        async with open_console() as console:
            return await console.items("/users")

    users = asyncio.run(run())
    if output == "json":
        show_json(users)
    else:
        show_table(users, ["id", "email", "role", "created_at"])


@user.command("create")
@click.argument("email")
@click.option("--role", type=ROLES, default="viewer", show_default=True)
@click.password_option()
def create_user(email: str, role: str, password: str) -> None:
    """Make a user; the password is asked for."""

    async def run() -> Any:
        async with open_console() as console:
            return await console.call("POST", "/users", {"email": email, "role": role, "password": password})

    click.echo(asyncio.run(run())["id"])


@user.command("delete")
@click.argument("email_or_id")
def delete_user(email_or_id: str) -> None:
    """Remove a user; sessions and keys of that user end at once."""

    async def run() -> None:
        async with open_console() as console:
            users = await console.items("/users")
            known = {entry["email"]: entry["id"] for entry in users}
            await console.call("DELETE", f"/users/{known.get(email_or_id, email_or_id)}")

    asyncio.run(run())
