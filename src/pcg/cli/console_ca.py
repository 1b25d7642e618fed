"""`pcg console rotate-ca`: the console's CA is followed by the next one, before it ends (docs/console.md)."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pcg.console.ca_rotation import Standing


@click.command("rotate-ca")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of its data.")
@click.option("--database", default=None, help="As `serve` has it.")
@click.option("--now", "at_once", is_flag=True, help="Change now, without waiting until every gateway knows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rotate_ca(data: Path, database: str | None, at_once: bool, yes: bool) -> None:
    """Make the console's next CA, or show how far its rotation is; the console may run or not.

    A running console notices within a minute, tells every connected gateway, and changes by itself once all that were
    seen lately know the next CA, a week later at the soonest. Run it again to see whom it waits for.
    """
    from pcg.clock import SystemClock
    from pcg.console import ca_rotation, recovery
    from pcg.console.backup import machine_user
    from pcg.console.settings import Settings

    settings, clock = Settings.from_options(listen="127.0.0.1:0", data=data, database=database), SystemClock()

    async def begun() -> Standing:
        async with recovery.store_of(settings) as store:
            await ca_rotation.begin(store, data, clock.now(), machine_user())
            return await ca_rotation.standing(store, data, clock.now())

    async def finished() -> Standing:
        async with recovery.store_of(settings) as store:
            await ca_rotation.finish(store, data, clock.now(), machine_user())
            return await ca_rotation.standing(store, data, clock.now())

    stands = asyncio.run(begun())
    _show(stands, clock.now())
    if not at_once:
        return
    if (stands.untold.seen_lately or stands.untold.away) and not yes:
        click.confirm("Change now nevertheless?", abort=True)
    click.echo(f"The CA is now:     {asyncio.run(finished()).present_pin}")
    click.echo("New installers need this pin. A running console shows it within a minute.")
    click.echo("Make a backup now: one from before brings back a CA that gateways no longer trust.")


def _show(stands: Standing, now: datetime) -> None:
    click.echo(f"present CA:        {stands.present_pin}, until {stands.present_ends:%Y-%m-%d}")
    click.echo(f"next CA:           {stands.next_pin}")
    if stands.earliest is not None:
        first = max(stands.earliest, now)
        click.echo(f"changes:           {first:%Y-%m-%d} at the soonest, {stands.latest:%Y-%m-%d} at the latest")
    for name in stands.untold.seen_lately:
        click.echo(f"does not know it:  {name}", err=True)
    for name in stands.untold.away:
        click.echo(f"does not know it:  {name} (not seen for 30 days; it is not waited for)", err=True)
    if not (stands.untold.seen_lately or stands.untold.away):
        click.echo("Every gateway knows the next CA.")
    elif now < stands.present_ends:
        click.echo(
            f"Those still get in after the change, until {stands.present_ends:%Y-%m-%d}, and learn the next CA then. "
            "After that day they must be paired anew.",
            err=True,
        )
    else:
        click.echo("The present CA has ended: those must be paired anew.", err=True)
