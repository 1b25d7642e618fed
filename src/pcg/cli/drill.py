"""`pcg drill`: cause known failures for real on this machine; each is named, and gone by itself when its cause is."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pcg.cli.ending import run_to_the_end
from pcg.cli.output import output_option, plain, progress, show_json

if TYPE_CHECKING:
    from pcg.cli.drilling.drill import Drill, Played

EXIT_NOT_AS_EXPECTED = 3

AT_ONCE = 6
"""drills side by side: two cores are busy, and each has yet what it needs within its limits"""

SPEED = 20.0
"""how many times faster than real life the data centers are"""

_COLUMNS = ("caused", "found", "only", "recovered")


@click.command()
@click.argument("names", metavar="[SCENARIO/CAUSE]…", nargs=-1)
@click.option("--all", "every", is_flag=True, help="The whole table.")
@click.option("--list", "listed", is_flag=True, help="Only say what can be drilled.")
@click.option("--at-once", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, help="Drills side by side.")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=SPEED, show_default=True, help="Of data centers.")
@click.option("--logs", type=click.Path(file_okay=False, path_type=Path), help="Leave all parts' logs in this folder.")
@output_option
def drill(
    names: tuple[str, ...], every: bool, listed: bool, at_once: int, speed: float, logs: Path | None, output: str
) -> None:
    """Cause each failure with real processes, see it named, end it, see it gone.

    Exit code 0 when every drill went as expected, else 3. Everything that was started is removed.
    """
    from pcg.cli.drilling.table import all_drills, drill_of

    if listed:
        for key, known in all_drills().items():
            click.echo(f"{key}  ({known.kind})")
        return
    if bool(names) == every:
        raise click.UsageError("give SCENARIO/CAUSE, or --all")
    chosen = all_drills() if every else {name: drill_of(name) for name in names}
    played: list[Played] = []
    table = _Table(chosen) if output == "text" else None

    def ready(row: Played) -> None:
        played.append(row)
        if table is not None:
            table.show(row)

    run_to_the_end(_run(chosen, at_once, speed, logs, ready))
    if table is None:
        show_json({"drills": [_as_json(row) for row in played]})
    else:
        click.echo(f"\n{sum(row.as_expected for row in played)} of {len(played)} as expected")
    if not all(row.as_expected for row in played):
        raise click.exceptions.Exit(EXIT_NOT_AS_EXPECTED)


async def _run(
    chosen: dict[str, Drill], at_once: int, speed: float, logs: Path | None, ready: Callable[[Played], None]
) -> None:
    from pcg.cli.drilling.play import Run, play_all

    folder = Path(tempfile.mkdtemp(prefix="pcg-drill-"))
    try:
        await play_all(chosen, Run(folder, speed, at_once, progress, ready, logs))
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, True)


def _as_json(row: Played) -> dict[str, object]:
    shown = asdict(row)
    return {key: value for key, value in shown.items() if value or key not in ("others", "trouble")}


class _Table:
    """Row by row, as they come."""

    def __init__(self, names: Iterable[str]) -> None:
        self._width = max(map(len, names))
        heads = "".join(f"{name.upper():<11}" for name in _COLUMNS)
        click.echo(f"{'SCENARIO/CAUSE':<{self._width}}  KIND     {heads}SECONDS")

    def show(self, row: Played) -> None:
        marks = "".join(f"{'yes' if getattr(row, name) else 'NO':<11}" for name in _COLUMNS)
        click.echo(f"{f'{row.scenario}/{row.cause}':<{self._width}}  {row.kind:<9}{marks}{row.seconds:7.1f}")
        for other in row.others:
            click.echo(f"{'':<{self._width}}  also found: {plain(other)}")
        if row.trouble:
            click.echo(f"{'':<{self._width}}  {plain(row.trouble)}")
