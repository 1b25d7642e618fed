"""`pcg gateway`: the table of its commands, which stand in the files beside it."""

from __future__ import annotations

import click

from pcg.cli import gateway_changes as changes
from pcg.cli import gateway_views as views
from pcg.cli.gateway_bundle import bundle
from pcg.cli.gateway_inventory import inventory


@click.group()
def gateway() -> None:
    """Create, configure, watch, reset and delete gateways."""


for command in (
    changes.create,
    views.list_gateways,
    views.show,
    changes.configure,
    views.watch,
    views.steps,
    views.events,
    views.findings,
    views.machines,
    inventory,
    changes.pairing_code,
    changes.reset,
    changes.rebuild,
    changes.agree,
    changes.delete,
    changes.kubeconfig,
    bundle,
):
    gateway.add_command(command)
