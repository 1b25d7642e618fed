"""The commands of `pcg gateway` that change something; the console decides who may."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from pcg.cli.client import ConsoleClient, open_console
from pcg.cli.configuration_file import read_document, with_trust
from pcg.cli.output import output_option, plain, progress, show_json
from pcg.errors import InvalidInput
from pcg.model.configuration import parse_configuration
from pcg.sealing.boxes import seal_credentials


@click.command("create")
@click.argument("name")
@click.option("--cloud", type=click.Choice(["simulated", "vsphere"]), required=True)
@output_option
def create(name: str, cloud: str, output: str) -> None:
    """Make a gateway; prints its pairing code (once), the CA pin and the install command."""

    async def run() -> Any:
        async with open_console() as console:
            return await console.call("POST", "/gateways", {"name": name, "cloud": cloud})

    _show_code(asyncio.run(run()), output)


@click.command("pairing-code")
@click.argument("name")
@output_option
def pairing_code(name: str, output: str) -> None:
    """Make a new pairing code; on a registered gateway it lets another installer take the gateway over."""

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.call("POST", f"/gateways/{gateway['id']}/pairing-code")

    _show_code(asyncio.run(run()), output)


@click.command("configure")
@click.argument("name")
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
def configure(name: str, path: Path) -> None:
    """Give the gateway its configuration (YAML) and seal the cloud's password to the gateway's key."""
    document = read_document(path)
    parse_configuration(document)
    password = read_password(document)
    document = with_trust(document, path.parent)

    async def run() -> None:
        async with open_console() as console:
            await configure_gateway(console, await console.gateway(name), document, password)

    asyncio.run(run())


@click.command("reset")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(name: str, yes: bool) -> None:
    """Back to pending: the gateway cluster's machines are removed, then it can be configured anew."""
    if not yes:
        click.confirm(f"Remove all machines of gateway {name}?", abort=True, err=True)

    async def run() -> None:
        async with open_console() as console:
            gateway = await console.gateway(name)
            await console.call("POST", f"/gateways/{gateway['id']}/reset")

    asyncio.run(run())


@click.command("rebuild")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rebuild(name: str, yes: bool) -> None:
    """A new gateway cluster with the same configuration: for a cluster that is lost."""
    if not yes:
        click.confirm(f"Remove all machines of gateway {name} and build new ones?", abort=True, err=True)

    async def run() -> None:
        async with open_console() as console:
            gateway = await console.gateway(name)
            await console.call("POST", f"/gateways/{gateway['id']}/rebuild")

    asyncio.run(run())


@click.command("agree")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def agree(name: str, yes: bool) -> None:
    """Go on from a restored console, though the gateway has a newer desired state than it knows.

    What runs at the gateway stays until a configuration is saved; those saved after the backup are lost.
    """
    if not yes:
        click.confirm(f"Shall this console's next change count at gateway {name}?", abort=True, err=True)

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.call("POST", f"/gateways/{gateway['id']}/agree-restored")

    if (asyncio.run(run()) or {}).get("agreed_unsaved"):
        progress("agreed; what runs there stays until you save a configuration")
    else:
        progress("nothing to agree to: the gateway has nothing newer than this console")


@click.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also while the gateway is away; says what stays.")
def delete(name: str, yes: bool, force: bool) -> None:
    """Remove the gateway: its machines, then the gateway itself."""
    if not yes:
        click.confirm(f"Delete gateway {name} and all its machines?", abort=True, err=True)

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            parameters = {"force": "true"} if force else {}
            return await console.call("DELETE", f"/gateways/{gateway['id']}", params=parameters)

    for machine in (asyncio.run(run()) or {}).get("remaining") or []:
        progress(f"stays until the gateway comes back or a person removes it: {machine.get('name')}")


@click.command("kubeconfig")
@click.argument("name")
def kubeconfig(name: str) -> None:
    """A kubeconfig for the gateway cluster, good for 8 hours at most (administrators; audited)."""

    async def run() -> Any:
        async with open_console() as console:
            gateway = await console.gateway(name)
            return await console.call("POST", f"/gateways/{gateway['id']}/kubeconfig")

    click.echo(asyncio.run(run())["kubeconfig"], nl=False)


async def configure_gateway(
    console: ConsoleClient, gateway: dict[str, Any], document: dict[str, Any], password: str
) -> None:
    """Credentials first, so that the configuration finds them; the password leaves this process sealed only."""
    configuration, _ = parse_configuration(document)
    if not gateway.get("sealing_key"):
        raise InvalidInput(
            f"Gateway {gateway['name']} has not registered yet: there is no key to seal the password to.",
            reason="not-registered",
            remedy=["Start the installer with the pairing code, then configure."],
        )
    sealed = seal_credentials(gateway["sealing_key"], gateway["id"], configuration.vcenter, password)
    await console.call("PUT", f"/gateways/{gateway['id']}/credentials", {"ciphertext": sealed})
    # As it was typed: the console tells what it put right, and goes on telling until somebody gives it better.
    vcenter = {key: value for key, value in document["vcenter"].items() if key != "passwordFrom"}
    answer = await console.call("PUT", f"/gateways/{gateway['id']}/configuration", {**document, "vcenter": vcenter})
    for notice in answer["notices"]:
        progress(f"notice: {notice}")


def read_password(document: dict[str, Any]) -> str:
    """From `vcenter.passwordFrom`: prompt (default), {env: NAME} or {file: PATH}."""
    vcenter = document.get("vcenter")
    source = vcenter.get("passwordFrom", "prompt") if isinstance(vcenter, dict) else "prompt"
    if source == "prompt":
        return str(click.prompt("Password of the cloud's account", hide_input=True, err=True))
    if isinstance(source, dict) and set(source) == {"env"} and str(source["env"]) in os.environ:
        return os.environ[str(source["env"])]
    if isinstance(source, dict) and set(source) == {"file"} and Path(str(source["file"])).is_file():
        return Path(str(source["file"])).read_text().rstrip("\n")
    raise InvalidInput(
        "passwordFrom must be prompt, {env: NAME} of a variable that is set, or {file: PATH} of a file that exists.",
        reason="password-source",
        field_name="vcenter.passwordFrom",
    )


def _show_code(made: dict[str, Any], output: str) -> None:
    if output == "json":
        show_json(made)
        return
    click.echo(f"pairing code:  {plain(made['pairing_code'])}")
    click.echo(f"expires:       {plain(made['expires_at'])}")
    click.echo(f"CA pin:        {plain(made['ca_pin'])}")
    click.echo(f"install with:  {plain(made['install_command'])}")
