"""What `pcg doctor` may be told about the installer of this machine: the options and variables of `pcg install`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pcg.cli.given_file import text_if_given
from pcg.errors import InvalidInput

if TYPE_CHECKING:
    from pcg.gateway.machine_knowledge import Given

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option(
        "--state",
        envvar="PCG_STATE",
        type=click.Path(file_okay=False, path_type=Path),
        default="/var/lib/pcg",
        show_default=True,
        help="The installer's.",
    ),
    click.option("--endpoint", envvar="PCG_ENDPOINT", default=None, help="https:// URL of the console."),
    click.option("--ca-pin", envvar="PCG_CA_PIN", default=None, help="SHA-256 pin of the console's CA (sha256:…)."),
    click.option("--ca-file", envvar="PCG_CA_FILE", type=_FILE, default=None),
    click.option("--https-proxy", envvar="PCG_HTTPS_PROXY", default=None, help="http://HOST:PORT."),
    click.option("--https-proxy-file", envvar="PCG_HTTPS_PROXY_FILE", type=_FILE, default=None),
    click.option("--http-proxy", envvar="PCG_HTTP_PROXY", default=None, help="The same, for http:// URLs."),
    click.option("--http-proxy-file", envvar="PCG_HTTP_PROXY_FILE", type=_FILE, default=None),
    click.option("--no-proxy", envvar="PCG_NO_PROXY", default=None),
    click.option("--proxy-ca-file", envvar="PCG_PROXY_CA_FILE", type=_FILE, default=None),
    click.option("--name-servers", envvar="PCG_NAME_SERVERS", default=None, help="ADDRESS[:PORT],…"),
    click.option("--ovf-env", envvar="PCG_OVF_ENV", type=click.Path(path_type=Path), default=None),
    click.option("--esxi-host", multiple=True, metavar="HOST", help="Ask for its port 443, too; may be repeated."),
    click.option("--dhcp/--no-dhcp", default=True, show_default=True, help="Ask DHCP servers on this machine's link."),
)


def installer_options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_by(options: Mapping[str, Any]) -> Given:
    """Raises InvalidInput as `pcg install` does, and for a file that cannot be read."""
    from pcg.gateway.machine_knowledge import Given

    given = Given(
        state=options["state"],
        endpoint=options["endpoint"],
        ca_pin=options["ca_pin"],
        ca=text_if_given(options["ca_file"], "ca-file"),
        http_proxy=options["http_proxy"] or text_if_given(options["http_proxy_file"], "http-proxy-file"),
        https_proxy=options["https_proxy"] or text_if_given(options["https_proxy_file"], "https-proxy-file"),
        no_proxy=options["no_proxy"],
        proxy_ca=text_if_given(options["proxy_ca_file"], "proxy-ca-file"),
        name_servers=options["name_servers"],
        ovf_env=options["ovf_env"],
        hosts=options["esxi_host"],
        dhcp=options["dhcp"],
    )
    _check(given)
    return given


def _check(given: Given) -> None:
    from pcg.model.configuration import split_host_port
    from pcg.network.endpoint import parse_endpoint
    from pcg.network.name_servers import parse_name_servers
    from pcg.network.pins import parse_pin, spki_pin
    from pcg.network.proxies import parse_proxies

    if given.endpoint:
        parse_endpoint(given.endpoint)
    if given.ca_pin:
        parse_pin(given.ca_pin)
    if given.ca:
        spki_pin(given.ca)
    if given.name_servers:
        parse_name_servers(given.name_servers)
    for host in given.hosts:
        try:
            split_host_port(host, 443)
        except ValueError as error:
            raise InvalidInput(
                f"The ESXi host {host} is wrong: {error}.", "host-invalid", field_name="esxi-host"
            ) from None
    parse_proxies(given.http_proxy, given.https_proxy, given.no_proxy, given.proxy_ca)
