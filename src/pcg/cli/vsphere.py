"""`pcg vsphere roles`: the least-privilege roles of the gateway's account, and the commands that make and assign them.

Works without a console and without a vCenter, so that an administrator can prepare the account first.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from pcg.cli.configuration_file import configuration_of, read_configuration
from pcg.cli.output import plain, show_json
from pcg.clouds.vsphere import role_commands, roles
from pcg.model.configuration import Configuration


@click.group()
def vsphere() -> None:
    """What a VMware administrator prepares."""


@vsphere.command("roles")
@click.argument("name", required=False)
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
@click.option("--account", default=None, help="The gateway's account; default: the configuration's.")
@click.option(
    "--output",
    type=click.Choice(["text", "json", *role_commands.TOOLS]),
    default="text",
    show_default=True,
    help="Form of the result.",
)
def show_roles(name: str | None, path: Path | None, account: str | None, output: str) -> None:
    """The least-privilege roles: what they hold, why, and where to assign them.

    For the placement of a configuration (-f FILE) or of the gateway NAME; without either, for placeholders.
    """
    if name and path:
        raise click.UsageError("Give a gateway or a file, not both.")
    configuration = None
    if path is not None:
        configuration, _ = read_configuration(path)
    elif name is not None:
        configuration = asyncio.run(configuration_of(name))
    account = account or (configuration.vcenter.username if configuration is not None else None)
    if output in role_commands.TOOLS:
        for line in role_commands.script(output, configuration, account):
            click.echo(plain(line))
    elif output == "json":
        show_json(_as_data(configuration, account))
    else:
        _show_text(configuration, account)


def _as_data(configuration: Configuration | None, account: str | None) -> dict[str, Any]:
    assigned = role_commands.assigned_for(configuration)
    names = dict.fromkeys(one.role for one in assigned)
    return {
        "account": account,
        "roles": [{"name": name, "privileges": role_commands.privileges_of(name)} for name in names],
        "assignments": [
            {"role": one.role, "path": one.path, "propagate": one.propagates, "note": one.note} for one in assigned
        ],
        "privileges": [
            {
                "id": one.id,
                "label": one.label,
                "on": one.on,
                "role": roles.ROLE_OF[one.assigned_on],
                "methods": list(one.methods),
                "why": one.why,
                "import": one.for_import,
            }
            for one in roles.TABLE
        ],
    }


def _show_text(configuration: Configuration | None, account: str | None) -> None:
    assigned = role_commands.assigned_for(configuration)
    click.echo(f"Roles for {plain(account or 'the account')}")
    for name in dict.fromkeys(one.role for one in assigned):
        built_in = " (vCenter has it already)" if name == roles.READ_ONLY else ""
        click.echo(f"\n{plain(name)}{built_in}")
        for one in (one for one in assigned if one.role == name):
            spread = "propagate to children" if one.propagates else "do not propagate"
            note = f"; {one.note}" if one.note else ""
            click.echo(f"  on {plain(one.path)}: {spread}{plain(note)}")
        for privilege in role_commands.privileges_of(name):
            _show_privilege(privilege, name)
    click.echo("\nThe same as commands: --output powercli or --output govc.")


def _show_privilege(privilege: str, role: str) -> None:
    entries = [one for one in roles.TABLE if one.id == privilege and roles.ROLE_OF[one.assigned_on] in role.split("+")]
    click.echo(f"    {privilege}  ({entries[0].label})")
    for entry in entries:
        only = ", only if the gateway imports the image" if entry.for_import else ""
        click.echo(f"      {entry.why} [{', '.join(entry.methods)}{only}]")
