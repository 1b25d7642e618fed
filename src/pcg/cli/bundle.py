"""`pcg bundle`: the logs of this machine as one redacted archive, and the redaction of archives that exist."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pcg.cli.output import output_option, plain, progress, show_json

if TYPE_CHECKING:
    from pcg.bundle.collecting import Bundle
    from pcg.bundle.pseudonyms import Pseudonyms

_pseudonyms_option = click.option(
    "--pseudonyms", is_flag=True, help="Host names, addresses and users by pseudonyms, the same throughout."
)
_map_option = click.option(
    "--map-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="With --pseudonyms: keep here, for yourself (mode 0600), what each stands for.",
)
_support_option = click.option(
    "--support-address", envvar="PCG_SUPPORT_ADDRESS", default=None, help="Shown at the end: where to send the archive."
)


class _CreateByDefault(click.Group):
    """`pcg bundle --output-dir X` is `pcg bundle create --output-dir X`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_CreateByDefault)
def bundle() -> None:
    """Collect the logs of this machine into a redacted archive (the default), or redact one that exists."""


@bundle.command("create")
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/tmp"),  # noqa: S108 - the seed's own; the file is 0600 and takes nobody's place
    show_default=True,
)
@click.option(
    "--state",
    envvar="PCG_STATE",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/lib/pcg"),
    help="As `pcg install` has it: steps, events and settings are read from there.",
)
@_pseudonyms_option
@_map_option
@_support_option
@output_option
def create(
    output_dir: Path, state: Path, pseudonyms: bool, map_file: Path | None, support_address: str | None, output: str
) -> None:
    """Logs, steps, events and settings of this machine; needs neither the console nor root.

    Keys, tokens, passwords and codes are always taken out. The archive's path is printed on stdout; what could not be
    read is named, and stands in its manifest.json.
    """
    from pcg.bundle.collecting import create_bundle
    from pcg.gateway.bundle_documents import documents_of_state, names_of_this_machine, secrets_of_state

    names = _pseudonyms(pseudonyms, map_file, names_of_this_machine())
    made = asyncio.run(
        create_bundle(
            output_dir,
            datetime.now(UTC),
            documents=documents_of_state(state),
            pseudonyms=names,
            known=secrets_of_state(state),
            progress=lambda line: progress(f"reading {line}"),
        )
    )
    _tell(made, names, map_file, support_address, output)


@bundle.command("redact")
@click.argument("file", type=click.Path(path_type=Path))
@_pseudonyms_option
@_map_option
@_support_option
@output_option
def redact(file: Path, pseudonyms: bool, map_file: Path | None, support_address: str | None, output: str) -> None:
    """Write FILE (an archive, folder or text file of logs, whoever made it) again without its secrets.

    The result stands beside it, named …-redacted.tgz; FILE itself is not changed.
    """
    from pcg.bundle.redacting import redact_archive

    names = _pseudonyms(pseudonyms, map_file, [])
    made = redact_archive(file, datetime.now(UTC), pseudonyms=names, progress=lambda line: progress(f"reading {line}"))
    _tell(made, names, map_file, support_address, output)


def _pseudonyms(wanted: bool, map_file: Path | None, known: Sequence[str]) -> Pseudonyms | None:
    from pcg.bundle.pseudonyms import Pseudonyms

    if map_file is not None and not wanted:
        raise click.UsageError("--map-file belongs to --pseudonyms.")
    return Pseudonyms(known) if wanted else None


def _tell(made: Bundle, names: Pseudonyms | None, map_file: Path | None, support: str | None, output: str) -> None:
    if names is not None and map_file is not None:
        _keep_map(names.known, map_file)
    if output == "json":
        show_json(_as_json(made, support))
        return
    left_out = made.manifest.left_out
    if left_out:
        progress(f"left out, in whole or in part ({len(left_out) + made.manifest.more}):")
        for item in left_out:
            progress(f"  {item.name}: {item.skipped or item.truncated}")
    progress(f"{made.size} bytes, secrets taken out" + (", names by pseudonyms" if names else ""))
    if support:
        progress(f"send it to {support}")
    click.echo(plain(made.path))


def _as_json(made: Bundle, support: str | None) -> dict[str, Any]:
    return {
        "path": str(made.path),
        "bytes": made.size,
        "support_address": support,
        "manifest": made.manifest.model_dump(mode="json"),
    }


def _keep_map(known: dict[str, str], path: Path) -> None:
    from pcg.errors import Conflict, SetupMissing

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict(f"There is a file {path} already.", "map-exists", remedy=["Give another --map-file."]) from None
    except OSError as error:
        raise SetupMissing(f"The map {path} cannot be written: {error.strerror}.", "map-not-written") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=1, ensure_ascii=False)
