"""`pcg preflight`: every check that can be made before machines are; asked of the gateway over its own session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
import yaml

from pcg.cli.client import open_console
from pcg.cli.output import output_option, plain, show_json


@click.command()
@click.argument("name")
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
@output_option
def preflight(name: str, path: Path | None, output: str) -> None:
    """Exit code 0 all clear, 1 something found, 3 something cannot be told."""
    body = {"configuration": yaml.safe_load(path.read_text())} if path else {}

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.call("POST", f"/gateways/{gateway['id']}/preflight", body)

    answer = asyncio.run(run())
    checks = answer["checks"]
    if output == "json":
        show_json(answer)
    else:
        for check in checks:
            word = {True: "clear", False: "FOUND", None: "cannot tell"}[check["ok"]]
            click.echo(f"{word:<12}{plain(check['what'])}")
            problem = check.get("problem") or {}
            for part in ("evidence", "remedy"):
                for item in problem.get(part) or []:
                    click.echo(f"{'':<12}{part}: {plain(item)}")
    if any(check["ok"] is False for check in checks):
        raise click.exceptions.Exit(1)
    if any(check["ok"] is None for check in checks):
        raise click.exceptions.Exit(3)
