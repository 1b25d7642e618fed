"""`pcg login`: trade e-mail and password for an API key of one's own, and keep it for the next commands."""

from __future__ import annotations

import asyncio
import os
import socket

import click

from pcg.cli.client import TIMEOUT_SECONDS, Login, problem, save_login, trusted
from pcg.network.http import http_client


@click.command()
@click.argument("url")
@click.option("--ca-pin", required=True, envvar="PCG_CA_PIN", help="SHA-256 pin of the console's CA (sha256:…).")
@click.option("--email", prompt=True, envvar="PCG_EMAIL")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False), help="Else it is asked for.")
def login(url: str, ca_pin: str, email: str, password_file: str | None) -> None:
    """Sign in to the console at URL and keep an API key in this user's configuration."""
    if password_file:
        with open(password_file) as file:  # noqa: PTH123 - click hands a path it has checked
            password = file.read().rstrip("\n")
    else:
        password = os.environ.get("PCG_PASSWORD") or click.prompt("Password", hide_input=True)
    made = asyncio.run(sign_in(url, ca_pin, email, password))
    click.echo(f"logged in; kept in {save_login(made)}", err=True)


async def sign_in(url: str, ca_pin: str, email: str, password: str) -> Login:
    """A new API key, named after this machine. Raises Refused for a wrong e-mail or password."""
    trust, url = await trusted(url, ca_pin)
    async with http_client(trust, base_url=url, timeout=TIMEOUT_SECONDS) as client:
        answer = await client.post(
            "/api/v1/keys", json={"name": f"pcg login on {socket.gethostname()}"}, auth=(email, password)
        )
        if answer.is_error:
            raise problem(answer)
        return Login(url, ca_pin, answer.json()["key"])
