"""`pcg gateway bundle`: the logs of a gateway, asked for through the console and saved here."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import click

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.output import output_option, plain, progress, show_json
from pcg.errors import Conflict, PcgError, ProtocolError, SetupMissing

_LOOK_SECONDS = 1.0


@click.command("bundle")
@click.argument("name")
@click.option("--pseudonyms", is_flag=True, help="Host names, addresses and users by pseudonyms, the same throughout.")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to save the archive; default: here.",
)
@output_option
def bundle(name: str, pseudonyms: bool, output_dir: Path, output: str) -> None:
    """Download the logs of a gateway, without their secrets, and say which known failures they show.

    The archive's path is printed on stdout.
    """
    found, path = asyncio.run(_brought(name, pseudonyms, output_dir))
    if output == "json":
        show_json({**found, "path": str(path)})
        return
    _tell(found)
    click.echo(plain(path))


async def _brought(name: str, pseudonyms: bool, folder: Path) -> tuple[dict[str, Any], Path]:
    async with open_console() as console:
        gateway = await console.gateway(name)
        asked = await console.call("POST", f"/gateways/{gateway['id']}/bundles", {"pseudonyms": pseudonyms})
        ready = await _followed(console, asked)
        path = folder / _safe(ready["name"])
        descriptor = _opened(path)
        digest = hashlib.sha256()
        whole = False
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in console.content(f"/bundles/{ready['id']}/archive"):
                    digest.update(chunk)
                    file.write(chunk)
            whole = digest.hexdigest() == ready["sha256"]
        finally:
            if not whole:
                path.unlink()
    if not whole:
        raise ProtocolError("The archive did not come as it was sent.", "bundle-damaged", remedy=["Try again."])
    return ready, path


async def _followed(console: ConsoleClient, bundle: dict[str, Any]) -> dict[str, Any]:
    """Until it is ready. Raises what made it fail."""
    told = ""
    while bundle["state"] not in ("ready", "failed"):
        line = _progress(bundle)
        if line != told:
            progress(line)
            told = line
        await asyncio.sleep(_LOOK_SECONDS)
        bundle = await console.call("GET", f"/bundles/{bundle['id']}")
    if bundle["state"] == "failed":
        raise _failure(bundle.get("problem") or {})
    return bundle


def _progress(bundle: dict[str, Any]) -> str:
    match bundle["state"]:
        case "collecting":
            return f"collecting: {bundle['items']} files and commands so far"
        case "receiving":
            return f"receiving: {bundle['received']} of {bundle['size']} bytes"
        case state:
            return str(state)


def _failure(problem: dict[str, Any]) -> PcgError:
    return Conflict(
        str(problem.get("what") or "The bundle failed."),
        str(problem.get("reason") or "bundle-failed"),
        [str(item) for item in problem.get("evidence") or []],
        str(problem.get("cause") or ""),
        [str(item) for item in problem.get("remedy") or []],
    )


def _safe(name: str) -> str:
    """A file's name, whatever the console says."""
    return Path(name).name or "spectro-logs.tgz"


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict(
            f"There is a file {path} already.", "bundle-exists", remedy=["Give another --output-dir."]
        ) from None
    except OSError as error:
        raise SetupMissing(f"The bundle {path} cannot be written: {error.strerror}.", "bundle-not-written") from error


def _tell(bundle: dict[str, Any]) -> None:
    told = bundle.get("analysis") or {}
    for finding in told.get("findings") or []:
        progress(f"{finding['severity']}: {finding['scenario']}/{finding['cause']}: {finding['summary']}")
        for evidence in finding.get("evidence") or []:
            progress(f"  evidence  {evidence['file']}:{evidence['line']} {evidence['text']}")
        for remedy in finding.get("remedy") or []:
            progress(f"  remedy    {remedy}")
    if told.get("unreadable"):
        progress(told["unreadable"])
    elif not told.get("findings"):
        progress("no known failure was found in these logs")
    missing = told.get("missing") or []
    if missing:
        progress(f"left out, in whole or in part ({len(missing) + int(told.get('missing_more') or 0)}):")
        for item in missing:
            progress(f"  {item['name']}: {item['reason']}")
    if bundle.get("support_address"):
        progress(f"send it to {bundle['support_address']}")
