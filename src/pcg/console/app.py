"""The console, from the outside in. Start reading here.

request → safety (headers, sizes) → api | pages | gateway side → service (every rule) → store
gateway ⇄ api/gateway_side → hub → service → store;   service → streams → hub, pages, server-sent events
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import APIRouter, FastAPI

from pcg.clock import Clock, SystemClock
from pcg.console import authorities, server
from pcg.console.api import bundles, configuration, gateway_side, gateways, health, live, people, polling
from pcg.console.api.openapi import describe
from pcg.console.api.problems import register_problems
from pcg.console.bundles import Bundles
from pcg.console.ca_rotation import Watch
from pcg.console.certificates import Certificates, open_certificates
from pcg.console.housekeeping import Housekeeping
from pcg.console.hub import Hub
from pcg.console.metrics import CountedRequests
from pcg.console.polled import Polled
from pcg.console.releases import Releases
from pcg.console.safety import BoundedBodies, SecurityHeaders
from pcg.console.service import Service
from pcg.console.settings import Settings
from pcg.console.store.database import Database
from pcg.console.web import pages
from pcg.console.web.errors import register_error_pages


def create_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """The whole application; it opens its store when it starts. `app.state` holds service, hub and public_urls."""
    clock = clock or SystemClock()
    certificates = certificates_of(settings, clock)
    service = Service(Database(settings.database_url), certificates, settings.endpoint, clock)
    service.gateways.code_lifetime = timedelta(hours=settings.code_hours)
    hub = Hub(service)
    polled = Polled(hub, clock)
    releases = Releases(settings.data / "artifacts", certificates, settings.artifact_mirror)

    app = FastAPI(
        title="pcg console", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None, lifespan=_lifespan
    )
    app.state.settings = settings
    app.state.service = service
    app.state.hub = hub
    app.state.polled = polled
    app.state.bundles = Bundles(service, hub, settings.data / "bundles", settings.support_address)
    app.state.ca_watch = _ca_watch(settings, service, clock)
    app.state.releases = releases
    app.state.public_urls = settings.public_urls or (settings.endpoint,)
    app.state.setup_link = None

    api = APIRouter(prefix="/api/v1")
    api.include_router(gateways.router())
    api.include_router(configuration.router())
    api.include_router(live.router())
    api.include_router(bundles.router())
    api.include_router(people.router())
    app.include_router(api)
    app.include_router(health.router())
    app.include_router(gateway_side.router(service, hub, releases))
    app.include_router(polling.router(polled))
    app.include_router(pages.router(service, hub), include_in_schema=False)

    register_problems(app)
    register_error_pages(app)
    app.add_middleware(BoundedBodies)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountedRequests, counts=service.counts)
    describe(app)
    return app


async def serve(settings: Settings, *, clock: Clock | None = None) -> None:
    """Until SIGTERM or SIGINT; prints `console ready at URL` when it accepts connections."""
    clock = clock or SystemClock()
    listening = server.bind(settings)
    settings = dataclasses.replace(settings, port=listening.getsockname()[1])
    app = create_app(settings, clock=clock)
    service: Service = app.state.service

    def ready() -> str:
        link = f"set-up link: {app.state.setup_link}\n" if app.state.setup_link else ""
        # Who signs in with the command line, and every installer, compares this pin.
        return f"console ready at {settings.endpoint}\n{link}CA pin: {service.certificates.pin}\n"

    await server.run(
        app,
        listening,
        settings,
        service.certificates,
        clock=clock,
        ready=ready,
        stopping=service.streams.close,
        renew=app.state.ca_watch.look,
    )


def certificates_of(settings: Settings, clock: Clock) -> Certificates:
    """Of the operator's own files, or made by the console for every name by which it may be reached."""
    given = (settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
    hosts = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *settings.hosts}
    return open_certificates(settings.data, hosts, clock.now(), given=given, public_ca=settings.public_ca)


def _ca_watch(settings: Settings, service: Service, clock: Clock) -> Watch:
    """Whoever gives the certificate, or does the TLS, rotates its CA too."""
    given = [path for path in (settings.tls_cert, settings.tls_key, settings.public_ca) if path]
    files = given or [settings.data / name for name in authorities.FILES]
    data = None if given else settings.data
    return Watch(service, lambda: certificates_of(settings, clock), data, files, clock)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    service: Service = app.state.service
    await service.database.migrate()
    await asyncio.to_thread(app.state.releases.prepare)
    await app.state.ca_watch.look()
    token = await service.accounts.prepare(settings.admin_email, settings.admin_password)
    app.state.setup_link = f"{settings.endpoint}/setup?token={token}" if token else None
    housekeeping = Housekeeping.of(service, settings)
    housekeeping.start()
    await app.state.bundles.open()
    try:
        yield
    finally:
        service.streams.close()
        await app.state.bundles.close()
        await app.state.polled.close()
        await app.state.hub.close()
        await housekeeping.stop()
        await service.database.close()
