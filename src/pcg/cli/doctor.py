"""`pcg doctor [PATH]`: which known failure do these logs show, or does this machine have now, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcg.cli.doctor_options import given_by, installer_options
from pcg.cli.output import output_option, plain, progress, show_json, show_table

if TYPE_CHECKING:
    from pcg.bundle.reading import LogReading
    from pcg.diagnosis.log_engine import LogVerdict
    from pcg.diagnosis.probes.answer import ProbeAnswer
    from pcg.gateway.this_machine import LiveReport
    from pcg.model.records import Finding

EXIT_FOUND, EXIT_CANNOT_TELL = 1, 3
_NAME_SECONDS = 3.0
"""for what resolves a name beside the probes, which have their own"""
_SHOWN = 100
"""characters of an answer in the table; all of it is in --output json"""


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    default="/var/log",
    show_default=True,
    help="Without PATH: this machine's logs.",
)
@installer_options
@output_option
def doctor(path: Path | None, logs: Path, output: str, **options: Any) -> None:
    """Name the failure that PATH (an archive or folder of logs) shows; without PATH, look at this machine as it is now.

    Live, everything that the installer here must reach is asked hop by hop, within 15 seconds. How it was started is
    read from its state folder; the options tell it where there is none yet, and count before it.

    Exit code 0 all clear, 1 a warning or error found, 2 unreadable, 3 nothing found but something could not be told.
    """
    verdict = _logs(path, output) if path is not None else _live(options, logs, output)
    if verdict.findings:
        raise click.exceptions.Exit(EXIT_FOUND)
    if any(checked.answer == "cannot-tell" for checked in verdict.checked):
        raise click.exceptions.Exit(EXIT_CANNOT_TELL)


def _logs(path: Path, output: str) -> LogVerdict:
    from pcg.bundle.reading import read_logs

    progress(f"reading {path}")
    reading = read_logs(path, datetime.now(UTC))
    if output == "json":
        show_json(_as_json(reading.verdict, reading, reading.unread))
    else:
        _show_verdict(reading.verdict)
        _show_unread(reading.unread, reading.unread_more)
        _show_read(reading)
    return reading.verdict


def _live(options: dict[str, Any], logs: Path, output: str) -> LogVerdict:
    import asyncio

    from pcg.gateway.this_machine import examine_this_machine
    from pcg.network.machine_names import machine_loop

    given = given_by(options)
    with asyncio.Runner(loop_factory=machine_loop(_NAME_SECONDS)) as runner:
        report = runner.run(examine_this_machine(given, datetime.now(UTC), logs=logs, heard=_tell))
    if output == "json":
        probes = [answer.as_json() for answer in report.probes]
        more = {"probes": probes, "seconds": round(report.seconds, 3)}
        show_json(_as_json(report.verdict, report.logs, report.unread) | more)
    else:
        _show_live(report)
    return report.verdict


def _tell(answer: ProbeAnswer) -> None:
    asked = f" (asked: {answer.asked})" if answer.asked else ""
    progress(f"{answer.about} {answer.probe} {answer.target}{asked}: {answer.answer} {answer.kind}".rstrip())


def _as_json(verdict: LogVerdict, reading: LogReading | None, unread: Sequence[tuple[str, str]]) -> dict[str, Any]:
    read = {"files": reading.files, "lines": reading.lines, "bytes": reading.bytes} if reading else None
    return {
        "findings": [finding.model_dump(mode="json") for finding in verdict.findings],
        "notices": [finding.model_dump(mode="json") for finding in verdict.notices],
        "checked": [
            {"scenario": checked.scenario, "answer": checked.answer, "missing": list(checked.missing)}
            for checked in verdict.checked
        ],
        "read": read or {"files": 0, "lines": 0, "bytes": 0},
        "unread": [{"file": name, "reason": reason} for name, reason in unread],
        "unread_more": reading.unread_more if reading else 0,
    }


def _show_live(report: LiveReport) -> None:
    rows = [
        {
            "about": answer.about,
            "hop": answer.probe,
            "target": answer.target,
            "answer": answer.kind or answer.answer,
            "seconds": f"{answer.seconds:.1f}",
            "told": _told(answer),
        }
        for answer in report.probes
    ]
    show_table(rows, ["about", "hop", "target", "answer", "seconds", "told"])
    click.echo()
    _show_verdict(report.verdict)
    _show_unread(report.unread, report.logs.unread_more if report.logs else 0)
    if report.logs:
        _show_read(report.logs)
    click.echo(f"looked for {report.seconds:.1f} s")


def _told(answer: ProbeAnswer) -> str:
    words = answer.detail + (f"; it needs {answer.needs}" if answer.needs else "")
    words = f"{answer.asked}: {words}" if answer.asked else words
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"


def _show_verdict(verdict: LogVerdict) -> None:
    for finding in verdict.findings:
        _show_finding(finding, str(finding.severity))
    for notice in verdict.notices:
        _show_finding(notice, "notice (expected)")
    if not verdict.findings:
        click.echo("No known failure was found.")
    unknown: dict[tuple[str, ...], list[str]] = {}
    for checked in verdict.checked:
        if checked.answer == "cannot-tell":
            unknown.setdefault(checked.missing, []).append(checked.scenario)
    if unknown:
        click.echo("\nCould not be told:")
        for missing, names in unknown.items():
            click.echo(f"  {', '.join(names)}: without {plain('; '.join(missing))}")


def _show_unread(unread: Sequence[tuple[str, str]], more: int) -> None:
    if unread:
        click.echo("\nNot read, or not in full:")
        for name, reason in unread:
            click.echo(f"  {plain(name)}: {plain(reason)}")
        if more:
            click.echo(f"  and {more} more")


def _show_read(reading: LogReading) -> None:
    click.echo(f"\nread {reading.lines} lines in {reading.files} files")


def _show_finding(finding: Finding, word: str) -> None:
    click.echo(f"{word}: {finding.scenario}/{finding.cause}")
    click.echo(f"  {plain(finding.summary)}")
    click.echo(f"  since     {finding.since:%Y-%m-%d %H:%M:%S} UTC")
    for item in finding.evidence:
        time = f"{item.time:%Y-%m-%d %H:%M:%S} " if item.time else ""
        where = f"{plain(item.file)}:{item.line}" if item.file else plain(item.source)
        click.echo(f"  evidence  {where} {time}{plain(item.text)}")
    for remedy in finding.remedy:
        click.echo(f"  remedy    {plain(remedy)}")
    if finding.cured:
        click.echo(f"  cured     {plain(finding.cured)}")
    click.echo(f"  more      {finding.link}\n")
