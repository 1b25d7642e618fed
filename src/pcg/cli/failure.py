"""How a failed command ends: one readable block on stderr and an exit code, never a traceback (`--debug` adds it)."""

from __future__ import annotations

import traceback

import click

from pcg.cli.output import plain
from pcg.errors import InvalidInput, PcgError, Refused, readable

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_REFUSED = 4


def show_failure(error: BaseException, *, debug: bool) -> int:
    """Print the block; the exit code."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return show_failure(error.exceptions[0], debug=debug)
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
    if isinstance(error, PcgError):
        _show(error)
        if isinstance(error, InvalidInput):
            return EXIT_INPUT
        return EXIT_REFUSED if isinstance(error, Refused) else EXIT_FAILED
    unexpected = PcgError(
        f"Something went wrong that pcg did not foresee: {error!r}",
        reason="unexpected",
        remedy=["Run the command again with `pcg --debug …` and report what it prints."],
    )
    _show(unexpected)
    return EXIT_FAILED


def _show(error: PcgError) -> None:
    """What a stranger answered may stand in it, and no terminal shall obey that."""
    for line in readable(error).split("\n"):
        click.echo(plain(line), err=True)
