"""How this installer was started, without any secret: kept in the state folder for whoever looks at this machine.

The gateway's own process is told by options, variables and files that another process cannot see. Written by the agent
at each start; read by `machine_knowledge`.
"""

from __future__ import annotations

from pcg.gateway.installer import Plan
from pcg.model.records import Record
from pcg.network.proxies import without_credentials


class Installation(Record):
    endpoint: str
    ca_pin: str | None = None
    ca: str | None = None
    """PEM, when a CA was given instead of a pin"""
    http_proxy: str | None = None
    https_proxy: str | None = None
    """both without user and password"""
    proxy_has_password: bool = False
    no_proxy: str = ""
    proxy_ca: str | None = None
    name_servers: str | None = None


def installation_of(plan: Plan) -> Installation:
    http, https = plan.proxies.http, plan.proxies.https
    return Installation(
        endpoint=plan.endpoint.url,
        ca_pin=plan.pin,
        ca=plan.ca,
        http_proxy=without_credentials(http) if http else None,
        https_proxy=without_credentials(https) if https else None,
        proxy_has_password=any("@" in proxy for proxy in (http, https) if proxy),
        no_proxy=",".join(map(str, plan.proxies.no)),
        proxy_ca=plan.proxies.ca,
        name_servers=plan.name_servers,
    )
