"""`pcg ports`: every flow the firewall must let through: from, to, port, protocol, why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from pcg.cli.client import load_login
from pcg.cli.configuration_file import configuration_of, read_configuration
from pcg.cli.flows import flows_of
from pcg.cli.output import output_option, progress, show_json, show_table
from pcg.errors import SetupMissing
from pcg.network.endpoint import parse_endpoint
from pcg.network.proxies import parse_proxies

UNKNOWN_CONSOLE = "https://console"


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=None)
@click.option("--console", "console", default=None, help="URL of the console as the gateway reaches it.")
@click.option("--proxy", "proxy", default=None, help="The installer's proxy: http://HOST:PORT, for http and https.")
@click.option("--no-proxy", "no_proxy", default=None, help="What the installer reaches without it.")
@output_option
def ports(
    name: str | None, path: Path | None, console: str | None, proxy: str | None, no_proxy: str | None, output: str
) -> None:
    """Of gateway NAME as it is configured, or of a file."""
    if name is not None and path is None:
        configuration = asyncio.run(configuration_of(name))
    elif path is not None and name is None:
        configuration, _ = read_configuration(path)
    else:
        raise click.UsageError("Give a gateway's NAME, or a file with -f.")
    proxies, notices = parse_proxies(proxy, proxy, no_proxy)
    flows = [flow.shown() for flow in flows_of(configuration, _console(console), proxies)]
    for notice in notices:
        progress(f"notice: {notice}")
    if output == "json":
        show_json({"flows": flows})
    else:
        show_table(flows, ["from", "to", "port", "protocol", "why"])


def _console(given: str | None) -> str:
    """As it was given, or as this user logged in to; where neither is known, a word and its usual port."""
    if given is None:
        try:
            given = load_login().url
        except SetupMissing:
            progress("notice: no console is known here; give --console URL")
            given = UNKNOWN_CONSOLE
    return parse_endpoint(given)[0].url
