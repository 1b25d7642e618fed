"""`pcg simulate`: a data center that is not there, as a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click


@click.command()
@click.option("--cloud", type=click.Choice(["simulated", "vsphere"]), default="simulated", show_default=True)
@click.option("--listen", default="127.0.0.1:8989", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of its state.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="How many times faster than real life.")
@click.option("--username", default="svc-pcg@vsphere.local", show_default=True)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Else made and kept in --state.",
)
@click.option("--edge-to", help="HOST:PORT of a console on this machine; the data center then has an edge before it.")
@click.option(
    "--edge-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="That console's CA, key and certificate (ca.pem of its data folder), for the certificates of --edge-to.",
)
def simulate(
    cloud: str,
    listen: str,
    state: Path,
    speed: float,
    username: str,
    password_file: Path | None,
    edge_to: str | None,
    edge_ca: Path | None,
) -> None:
    """Serve a simulated private cloud until stopped; prints one JSON line with its addresses when ready."""
    if edge_ca and not edge_to:
        raise click.UsageError("--edge-ca is for --edge-to, which was not given.")
    state.mkdir(parents=True, exist_ok=True)
    password = (password_file or _kept_password(state)).read_text().rstrip("\n")
    if not password_file:
        click.echo(f"password of {username}: {password}", err=True)
    from pcg.clouds.lab.edge.process import EdgeSettings

    edge = EdgeSettings(edge_to, edge_ca) if edge_to else None
    if cloud == "simulated":
        from pcg.clouds.simulated.server import serve

        asyncio.run(serve(listen=listen, state=state, speed=speed, username=username, password=password, edge=edge))
    else:
        from pcg.clouds.vsphere.simulator.datacenter import serve as serve_vsphere

        asyncio.run(
            serve_vsphere(listen=listen, state=state, speed=speed, username=username, password=password, edge=edge)
        )


def _kept_password(state: Path) -> Path:
    """The same at every start: gateways hold it sealed, and try a rejected one only once."""
    import secrets

    kept = state / "password"
    if not kept.exists():
        made = state / "password.new"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(12))
        made.replace(kept)
    return kept
