"""`pcg jet`: the agent; all its settings come by environment, as its Kubernetes manifest gives them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

import click


@click.command()
def jet() -> None:
    """The agent that runs in the gateway cluster (settings: PCG_ENDPOINT, PCG_CA_PEM, PCG_JET_TOKEN_FILE …)."""
    from pcg.gateway.jet import main

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        sys.exit(runner.run(main()))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Names are resolved as the installer was told; imported only then, for jet starts often."""
    servers = os.environ.get("PCG_NAME_SERVERS")
    if not servers:
        return asyncio.new_event_loop
    from pcg.network.name_servers import loop_factory, parse_name_servers

    return loop_factory(parse_name_servers(servers))
