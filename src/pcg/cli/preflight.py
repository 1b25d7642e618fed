"""`pcg preflight`: every check that can be made before machines are.

With a gateway's name they are asked of the gateway over its own session; with a file alone, what the file itself tells.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from pcg.cli.client import open_console
from pcg.cli.configuration_file import read_document, with_trust
from pcg.cli.output import output_option, plain, show_json
from pcg.clouds.base import Check
from pcg.errors import InvalidInput, PcgError


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
@output_option
def preflight(name: str | None, path: Path | None, output: str) -> None:
    """Of gateway NAME (with -f: as if it were configured so), or of a file alone.

    Exit code 0 all clear, 1 something found, 3 something cannot be told.
    """
    if name is None and path is None:
        raise click.UsageError("Give a gateway's NAME, or a file with -f, or both.")
    if name is not None:
        document = with_trust(read_document(path), path.parent) if path else None
        answer = asyncio.run(_ask(name, document))
    else:
        answer = _look(path)
    checks = answer["checks"]
    if output == "json":
        show_json(answer)
    else:
        _show(checks)
    if any(check["ok"] is False for check in checks):
        raise click.exceptions.Exit(1)
    if any(check["ok"] is None for check in checks):
        raise click.exceptions.Exit(3)


async def _ask(name: str, document: Any) -> Any:
    body = {} if document is None else {"configuration": document}
    async with open_console() as console:
        gateway = await console.gateway(name)
        return await console.call("POST", f"/gateways/{gateway['id']}/preflight", body)


def _look(path: Path | None) -> dict[str, Any]:
    from pcg.cli.preflight_file import check_file

    assert path is not None
    return {"checks": [_view(check) for check in check_file(path)]}


def _view(check: Check) -> dict[str, Any]:
    """As the gateway's own answer has it."""
    problem = check.problem if isinstance(check.problem, PcgError) else None
    told = problem and {
        "reason": problem.reason,
        "what": problem.what,
        "evidence": problem.evidence,
        "cause": problem.cause,
        "remedy": problem.remedy,
        "link": problem.link,
        "fields": problem.fields | ({"field": problem.field_name} if isinstance(problem, InvalidInput) else {}),
    }
    return {"name": check.name, "ok": check.ok, "what": check.what, "problem": told}


def _show(checks: list[dict[str, Any]]) -> None:
    for check in checks:
        word = {True: "clear", False: "FOUND", None: "cannot tell"}[check["ok"]]
        click.echo(f"{word:<12}{plain(check['what'])}")
        problem = check.get("problem") or {}
        for part in ("evidence", "remedy"):
            for item in problem.get(part) or []:
                click.echo(f"{'':<12}{part}: {plain(item)}")
