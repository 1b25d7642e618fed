"""`pcg doctor PATH`: which known failure do these logs show, on what evidence, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcg.cli.output import output_option, plain, progress, show_json
from pcg.errors import InvalidInput

if TYPE_CHECKING:
    from pcg.bundle.reading import LogReading
    from pcg.model.records import Finding

EXIT_FOUND, EXIT_CANNOT_TELL = 1, 3


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@output_option
def doctor(path: Path | None, output: str) -> None:
    """Name the failure that an archive or folder of logs shows.

    Exit code 0 all clear, 1 a warning or error found, 2 unreadable, 3 nothing found but something could not be told.
    """
    from pcg.bundle.reading import read_logs

    if path is None:
        raise InvalidInput(
            "Looking at this machine live is not part of this version; give the logs to look at.",
            reason="path-missing",
            field_name="path",
            remedy=["pcg doctor FOLDER or ARCHIVE, for example pcg doctor /var/log"],
        )
    progress(f"reading {path}")
    reading = read_logs(path, datetime.now(UTC))
    if output == "json":
        show_json(_as_json(reading))
    else:
        _show(reading)
    if reading.verdict.findings:
        raise click.exceptions.Exit(EXIT_FOUND)
    if any(checked.answer == "cannot-tell" for checked in reading.verdict.checked):
        raise click.exceptions.Exit(EXIT_CANNOT_TELL)


def _as_json(reading: LogReading) -> dict[str, Any]:
    verdict = reading.verdict
    return {
        "findings": [finding.model_dump(mode="json") for finding in verdict.findings],
        "notices": [finding.model_dump(mode="json") for finding in verdict.notices],
        "checked": [
            {"scenario": checked.scenario, "answer": checked.answer, "missing": list(checked.missing)}
            for checked in verdict.checked
        ],
        "read": {"files": reading.files, "lines": reading.lines, "bytes": reading.bytes},
        "unread": [{"file": name, "reason": reason} for name, reason in reading.unread],
        "unread_more": reading.unread_more,
    }


def _show(reading: LogReading) -> None:
    verdict = reading.verdict
    for finding in verdict.findings:
        _show_finding(finding, str(finding.severity))
    for notice in verdict.notices:
        _show_finding(notice, "notice (expected)")
    if not verdict.findings:
        click.echo("No known failure was found.")
    unknown = [checked for checked in verdict.checked if checked.answer == "cannot-tell"]
    if unknown:
        click.echo("\nCould not be told:")
        for checked in unknown:
            click.echo(f"  {checked.scenario}: without {plain('; '.join(checked.missing))}")
    if reading.unread:
        click.echo("\nNot read, or not in full:")
        for name, reason in reading.unread:
            click.echo(f"  {plain(name)}: {plain(reason)}")
        if reading.unread_more:
            click.echo(f"  and {reading.unread_more} more")
    click.echo(f"\nread {reading.lines} lines in {reading.files} files")


def _show_finding(finding: Finding, word: str) -> None:
    click.echo(f"{word}: {finding.scenario}/{finding.cause}")
    click.echo(f"  {plain(finding.summary)}")
    click.echo(f"  since     {finding.since:%Y-%m-%d %H:%M:%S} UTC")
    for item in finding.evidence:
        time = f"{item.time:%Y-%m-%d %H:%M:%S} " if item.time else ""
        click.echo(f"  evidence  {plain(item.file)}:{item.line} {time}{plain(item.text)}")
    for remedy in finding.remedy:
        click.echo(f"  remedy    {plain(remedy)}")
    if finding.cured:
        click.echo(f"  cured     {plain(finding.cured)}")
    click.echo(f"  more      {finding.link}\n")
