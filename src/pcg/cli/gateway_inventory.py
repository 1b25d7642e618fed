"""`pcg gateway inventory`: what the gateway's cloud has to choose from, asked of the gateway over its own session."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from pcg.cli.client import open_console
from pcg.cli.output import output_option, plain, progress, show_json, show_table

_KINDS = ("datacenters", "clusters", "resource_pools", "folders", "datastores", "networks", "templates")


@click.command("inventory")
@click.argument("name")
@click.option("--datacenter", default="", help="Of this one alone.")
@output_option
def inventory(name: str, datacenter: str, output: str) -> None:
    """What the cloud has to choose from: names for `placement` and `template` of a configuration."""
    parameters = {"datacenter": datacenter} if datacenter else {}

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.call("GET", f"/gateways/{gateway['id']}/inventory", params=parameters)

    answer = asyncio.run(run())
    if output == "json":
        show_json(answer)
        return
    rows = [
        {"kind": kind.removesuffix("s").replace("_", " "), **entry, "free": _free(entry)}
        for kind in _KINDS
        for entry in answer.get(kind) or []
    ]
    show_table(rows, ["kind", "path", "datacenter", "cluster", "free"])
    if answer.get("cut"):
        progress(f"{plain(answer['cut'])} more are not shown; --datacenter shows those of one datacenter")


def _free(entry: dict[str, Any]) -> str | None:
    if entry.get("free_gib") is None:
        return None
    return f"{entry['free_gib']} of {entry.get('capacity_gib') or '?'} GiB"
