"""`pcg monitor`: the installer's own page on port 5080, in a process of its own; and a new password for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from pcg.cli.given_file import text_if_given
from pcg.errors import InvalidInput


@click.group(invoke_without_command=True)
@click.option(
    "--state",
    envvar="PCG_STATE",
    type=click.Path(file_okay=False, path_type=Path),
    default="/var/lib/pcg",
    show_default=True,
    help="The installer's.",
)
@click.option(
    "--screen",
    envvar="PCG_MONITOR_SCREEN",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="A file that the machine's login screen shows (/run/issue.d): address, password, fingerprint.",
)
@click.option("--listen", envvar="PCG_MONITOR_LISTEN", default="0.0.0.0:5080", show_default=True, help="HOST:PORT.")
@click.option("--name", "names", multiple=True, help="Another host name under which it is asked for.")
@click.option("--log-folder", type=click.Path(path_type=Path), default="/var/log", show_default=True)
@click.option("--log", "logs", multiple=True, metavar="NAME=PATH", help="A further log to show.")
@click.option("--endpoint", envvar="PCG_ENDPOINT", default="", help="URL of the console, for the diagnostic tasks.")
@click.option("--https-proxy-file", envvar="PCG_HTTPS_PROXY_FILE", type=click.Path(path_type=Path), default=None)
@click.option("--no-proxy", envvar="PCG_NO_PROXY", default=None)
@click.option("--proxy-ca-file", envvar="PCG_PROXY_CA_FILE", type=click.Path(path_type=Path), default=None)
@click.pass_context
def monitor(
    context: click.Context,
    state: Path,
    screen: Path | None,
    listen: str,
    names: tuple[str, ...],
    log_folder: Path,
    logs: tuple[str, ...],
    endpoint: str,
    https_proxy_file: Path | None,
    no_proxy: str | None,
    proxy_ca_file: Path | None,
) -> None:
    """The installer's own page: steps, logs and diagnostic tasks; it works when the gateway's process does not.

    The first start shows the page's password and its certificate's fingerprint on the terminal or in --screen.
    """
    if context.invoked_subcommand is not None:
        return
    from pcg.clock import SystemClock
    from pcg.gateway.machine_knowledge import Given
    from pcg.gateway.monitor.log_sources import LogSources, parse_source
    from pcg.gateway.monitor.server import MonitorSettings, run_monitor
    from pcg.network.proxies import parse_proxies

    host, port = _listen(listen)
    proxy, proxy_ca = text_if_given(https_proxy_file, "https-proxy-file"), text_if_given(proxy_ca_file, "proxy-ca-file")
    for notice in parse_proxies(None, proxy, no_proxy, proxy_ca)[1]:
        click.echo(f"note: {notice}", err=True)
    # Without DHCP's question, which is a broadcast: whoever wants it has `pcg doctor`.
    given = Given(state, endpoint=endpoint or None, https_proxy=proxy, no_proxy=no_proxy, proxy_ca=proxy_ca, dhcp=False)
    settings = MonitorSettings(
        given=given,
        host=host,
        port=port,
        logs=LogSources(log_folder, [parse_source(item) for item in logs]),
        names=names,
        screen=screen,
    )
    asyncio.run(run_monitor(settings, SystemClock()))


@monitor.command("reset-password")
@click.pass_context
def reset_password(context: click.Context) -> None:
    """Make another password and show it once; the old one and its sessions end at once.

    For another folder than the usual: pcg monitor --state DIR reset-password
    """
    from pcg.gateway.monitor.first_boot import FirstBoot, new_password

    given = context.parent.params if context.parent else {}
    password = new_password()
    FirstBoot(given["state"]).keep_password(password)
    click.echo(password)


def _listen(typed: str) -> tuple[str, int]:
    host, _, port = typed.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(
            f"{typed!r} is no HOST:PORT.",
            reason="listen-invalid",
            field_name="listen",
            remedy=["For example 0.0.0.0:5080, or [::]:5080 for both IPv4 and IPv6."],
        )
    return host, int(port)
