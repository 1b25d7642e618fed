"""The table of commands is true, and errors end as one block."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pcg.cli.failure import show_failure
from pcg.cli.main import COMMANDS, cli
from pcg.cli.output import plain
from pcg.errors import InvalidInput, PcgError, Refused, TryAgain


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_has_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None and command.name == name
    assert command.get_short_help_str()


def test_an_unknown_command_is_refused_with_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pcg.cli.main", "nonsense"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_help_imports_no_other_part() -> None:
    code = "import sys, pcg.cli.main; print(sorted(m for m in sys.modules if m.startswith('pcg')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['pcg', 'pcg.cli', 'pcg.cli.main']"


@pytest.mark.parametrize(
    "error,code",
    [
        (InvalidInput("w", field_name="f"), 2),
        (Refused("w"), 4),
        (TryAgain("w"), 1),
        (PcgError("w"), 1),
        (RuntimeError("boom"), 1),
        (ExceptionGroup("g", [Refused("w")]), 4),
    ],
)
def test_exit_codes(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_failure(error, debug=False) == code
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and "Traceback" not in shown


def test_a_block_has_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    show_failure(PcgError("what", evidence=["e1", "e2"], cause="c", remedy=["r"], link="l"), debug=False)
    assert [line.split(":")[0].strip() for line in capsys.readouterr().err.splitlines()] == [
        "error",
        "evidence",
        "evidence",
        "cause",
        "remedy",
        "link",
    ]


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "\x00", "\u202e"])
def test_nothing_hostile_reaches_the_terminal(hostile: str) -> None:
    assert plain(hostile).isprintable()
