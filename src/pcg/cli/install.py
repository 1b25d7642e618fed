"""`pcg install`: the installer, then the gateway, until stopped. Every value also by environment (PCG_…).

A flag counts before its variable, either before a file, and all before the OVF environment.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pcg.cli.given_file import text_of
from pcg.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from pcg.gateway.ovf_properties import OvfSettings


@click.command()
@click.option("--endpoint", envvar="PCG_ENDPOINT", default=None, help="https:// URL of the console.")
@click.option("--pairing-code", envvar="PCG_PAIRING_CODE", default=None)
@click.option("--pairing-code-file", envvar="PCG_PAIRING_CODE_FILE", type=click.Path(path_type=Path), default=None)
@click.option("--ca-pin", envvar="PCG_CA_PIN", default=None, help="SHA-256 pin of the console's CA (sha256:…).")
@click.option("--ca-file", envvar="PCG_CA_FILE", type=click.Path(path_type=Path), default=None)
@click.option("--https-proxy", envvar="PCG_HTTPS_PROXY", default=None, help="http://[USER:PASSWORD@]HOST:PORT.")
@click.option("--https-proxy-file", envvar="PCG_HTTPS_PROXY_FILE", type=click.Path(path_type=Path), default=None)
@click.option("--http-proxy", envvar="PCG_HTTP_PROXY", default=None, help="The same, for http:// URLs.")
@click.option("--http-proxy-file", envvar="PCG_HTTP_PROXY_FILE", type=click.Path(path_type=Path), default=None)
@click.option("--no-proxy", envvar="PCG_NO_PROXY", default=None, help="Names, .suffixes, addresses, CIDRs: directly.")
@click.option("--proxy-ca-file", envvar="PCG_PROXY_CA_FILE", type=click.Path(path_type=Path), default=None)
@click.option(
    "--name-servers", envvar="PCG_NAME_SERVERS", default=None, help="ADDRESS[:PORT],… instead of the system's."
)
@click.option("--ovf-env", envvar="PCG_OVF_ENV", type=click.Path(path_type=Path), default=None, help="OVF environment.")
@click.option("--state", envvar="PCG_STATE", type=click.Path(file_okay=False, path_type=Path), default="/var/lib/pcg")
@click.option("--name", envvar="PCG_INSTALLER_NAME", default="", help="Shown in the console; default: host name.")
@click.option("--log-file", envvar="PCG_LOG_FILE", type=click.Path(dir_okay=False, path_type=Path), default=None)
@click.option("--give-up-after", envvar="PCG_GIVE_UP_AFTER", type=float, default=None, help="Seconds; default: never.")
@click.option("--jet-speed", envvar="PCG_JET_SPEED", type=float, default=1.0, hidden=True)
@click.option("--machine-speed", envvar="PCG_MACHINE_SPEED", type=float, default=1.0, hidden=True)
@click.option("--overdue-after", envvar="PCG_OVERDUE_AFTER", type=float, default=600.0, hidden=True)
@click.option("--try-upgrade-after", envvar="PCG_TRY_UPGRADE_AFTER", type=float, default=120.0, hidden=True)
def install(
    endpoint: str | None,
    pairing_code: str | None,
    pairing_code_file: Path | None,
    ca_pin: str | None,
    ca_file: Path | None,
    https_proxy: str | None,
    https_proxy_file: Path | None,
    http_proxy: str | None,
    http_proxy_file: Path | None,
    no_proxy: str | None,
    proxy_ca_file: Path | None,
    name_servers: str | None,
    ovf_env: Path | None,
    state: Path,
    name: str,
    log_file: Path | None,
    give_up_after: float | None,
    jet_speed: float,
    machine_speed: float,
    overdue_after: float,
    try_upgrade_after: float,
) -> None:
    """Pair with the console by a one-time code, build the gateway cluster, keep it; SIGTERM stops cleanly."""
    from pcg.cli.installer_log import open_log
    from pcg.clock import SystemClock
    from pcg.gateway.agent import run_gateway
    from pcg.gateway.installer import InstallSettings, loop_of

    with _failure_kept(state):
        say = open_log(log_file)
        if pairing_code is None and pairing_code_file is not None:
            pairing_code = text_of(pairing_code_file, "pairing-code")
        _warn_of_passwords("https_proxy", https_proxy)
        _warn_of_passwords("http_proxy", http_proxy)
        if https_proxy is None and https_proxy_file is not None:
            https_proxy = text_of(https_proxy_file, "https-proxy-file")
        if http_proxy is None and http_proxy_file is not None:
            http_proxy = text_of(http_proxy_file, "http-proxy-file")
        # Secrets must not stay where a child or other users of this machine could read them.
        for variable in ("PCG_PAIRING_CODE", "PCG_HTTPS_PROXY", "PCG_HTTP_PROXY"):
            os.environ.pop(variable, None)
        given = {
            "endpoint": endpoint,
            "pairing-code": pairing_code,
            "ca-pin": ca_pin or ca_file,
            "https-proxy": https_proxy,
            "http-proxy": http_proxy,
            "no-proxy": no_proxy,
            "certificate": proxy_ca_file,
            "installer-name": name,
        }
        ovf = _from_ovf(ovf_env, {key for key, value in given.items() if value})
        endpoint = endpoint or ovf.endpoint
        if endpoint is None:
            raise _no_endpoint(ovf_env, ovf)
        settings = InstallSettings(
            endpoint=endpoint,
            pairing_code=pairing_code or ovf.pairing_code,
            ca_pin=ca_pin or ovf.ca_pin,
            ca=text_of(ca_file, "ca-file") if ca_file else None,
            http_proxy=http_proxy or ovf.http_proxy,
            https_proxy=https_proxy or ovf.https_proxy,
            no_proxy=no_proxy or ovf.no_proxy,
            name_servers=name_servers,
            proxy_ca=text_of(proxy_ca_file, "proxy-ca-file") if proxy_ca_file else ovf.certificate,
            state=state,
            installer_name=name or ovf.installer_name or socket.gethostname(),
            give_up_after=give_up_after,
            jet_speed=jet_speed,
            machine_speed=machine_speed,
            overdue_after=overdue_after,
            try_upgrade_after=try_upgrade_after,
        )
        with asyncio.Runner(loop_factory=loop_of(settings)) as runner:
            sys.exit(runner.run(run_gateway(settings, clock=SystemClock(), say=say)))


@contextmanager
def _failure_kept(state: Path) -> Iterator[None]:
    """What ends the installer is also left where `pcg doctor` looks."""
    from pcg.clock import SystemClock
    from pcg.gateway.own_findings import keep_failure

    try:
        yield
    except (InvalidInput, Refused) as error:
        keep_failure(state, error, SystemClock())
        raise


def _from_ovf(path: Path | None, overridden: set[str]) -> OvfSettings:
    """What the OVF environment gives and nothing else gave. What is overridden is not even checked: the flag is the
    way out for one who cannot change the machine's properties."""
    from pcg.gateway.ovf_environment import read_ovf_environment
    from pcg.gateway.ovf_properties import OvfSettings, check_properties

    if path is None:
        return OvfSettings()
    properties = read_ovf_environment(path)
    settings, notices = check_properties({key: value for key, value in properties.items() if key not in overridden})
    for notice in notices:
        click.echo(f"note: {notice}", err=True)
    return settings


def _no_endpoint(ovf_env: Path | None, ovf: OvfSettings) -> InvalidInput:
    from pcg.gateway.ovf_properties import OvfSettings

    if ovf_env is not None and ovf == OvfSettings():
        return InvalidInput(
            f"The OVF environment {ovf_env} has no properties of this appliance.",
            reason="guest-properties-not-delivered",
            field_name="ovf-env",
            cause="The machine was deployed or cloned without them, or the hypervisor did not hand them over.",
            remedy=[
                "Deploy the appliance again with its properties filled in (endpoint, pairing code, CA pin).",
                "Or give them with flags or variables: --endpoint, PCG_PAIRING_CODE, --ca-pin.",
            ],
        )
    return InvalidInput(
        "The console's endpoint is missing.",
        reason="endpoint-missing",
        field_name="endpoint",
        remedy=["Give it with --endpoint, PCG_ENDPOINT, or the OVF property pcg.endpoint (--ovf-env)."],
    )


def _warn_of_passwords(parameter: str, proxy: str | None) -> None:
    source = click.get_current_context().get_parameter_source(parameter)
    if source is ParameterSource.COMMANDLINE and proxy and "@" in proxy:
        flag = parameter.replace("_", "-")
        click.echo(
            f"note: {flag}: every user of this machine can read a password on the command line; "
            f"give it by PCG_{parameter.upper()} or --{flag}-file",
            err=True,
        )
