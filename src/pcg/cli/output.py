"""`--output text|json` for every command that shows data: results on stdout, one shape of table for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def output_option(command: Command) -> Command:
    return click.option(
        "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the result."
    )(command)


def show_json(value: Any) -> None:
    """The same value for a program, and harmless to a terminal: JSON itself escapes some control characters only."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo("".join(symbol if symbol.isprintable() or symbol == "\n" else _json_escape(symbol) for symbol in text))


def show_table(rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    """Columns as wide as their longest value; control characters of hostile values are shown escaped."""
    lines = [[column.replace("_", " ").upper() for column in columns]]
    lines += [[plain(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        click.echo("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def plain(value: Any) -> str:
    """Text safe for a terminal: every control character is escaped."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "-"
    if isinstance(value, dict):
        return plain(value.get("name", json.dumps(value, default=str)))
    return "".join(symbol if symbol.isprintable() else repr(symbol)[1:-1] for symbol in str(value))


def _json_escape(symbol: str) -> str:
    return json.dumps(symbol)[1:-1] if ord(symbol) > 0xFFFF else f"\\u{ord(symbol):04x}"


def progress(line: str) -> None:
    """One line of progress on stderr."""
    click.echo(plain(line), err=True)
