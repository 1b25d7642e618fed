"""The pages of the console, joined: one file a noun. `console/app.py` puts them round the service.

Everything is rendered here, on the server, and works without JavaScript; `static/live.js` only fetches a page again
when the server says that there is news. No page loads anything from elsewhere.
"""

from __future__ import annotations

from fastapi import APIRouter

from pcg.console.hub import Hub
from pcg.console.service import Service
from pcg.console.web import (
    account,
    bundles,
    configure,
    details,
    gateways,
    news,
    people,
    removal,
    restored,
    sign_in,
    static,
)


def router(service: Service, hub: Hub) -> APIRouter:
    routes = APIRouter()
    routes.include_router(static.router())
    routes.include_router(sign_in.router(service))
    routes.include_router(news.router(service))
    routes.include_router(gateways.router(service))
    routes.include_router(configure.router(service, hub))
    routes.include_router(removal.router(service))
    routes.include_router(bundles.router(service))
    routes.include_router(restored.router(service))
    routes.include_router(details.router(service))
    routes.include_router(people.router(service))
    routes.include_router(account.router(service))
    return routes
