"""The list of gateways as widgets, a new gateway, and its pairing code, which is shown once."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from pcg.console.api.dependencies import After
from pcg.console.api.gateways import NewGateway
from pcg.console.auth import Action, require
from pcg.console.paging import DEFAULT_LIMIT
from pcg.console.service import Service
from pcg.console.web.templating import page
from pcg.console.web.visitor import TypedByVisitor, VisitorNeeded
from pcg.errors import Conflict, InvalidInput, PcgError
from pcg.model.configuration import CloudKind

CLOUDS = {CloudKind.VSPHERE: "VMware vSphere", CloudKind.SIMULATED: "Simulated data center"}


def router(service: Service) -> APIRouter:
    routes = APIRouter()

    @routes.get("/")
    async def list_gateways(request: Request, visitor: VisitorNeeded, after: After = None) -> Response:
        found = await service.gateways.list_gateways(visitor.actor, after=after, limit=DEFAULT_LIMIT)
        return page(request, visitor, "gateways.html", gateways=found.items, next=found.next, after=after)

    @routes.get("/gateways/new")
    async def new_gateway(request: Request, visitor: VisitorNeeded) -> Response:
        require(visitor.actor, Action.CREATE_GATEWAY)
        return page(
            request, visitor, "new_gateway.html", name="", cloud=CloudKind.VSPHERE.value, clouds=CLOUDS, error=None
        )

    @routes.post("/gateways")
    async def create_gateway(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor) -> Response:
        name, cloud = typed["name"].strip(), typed["cloud"]
        try:
            wanted = _checked(name, cloud)
            made = await service.gateways.create(visitor.actor, wanted.name, wanted.cloud)
        except (InvalidInput, Conflict) as error:
            status = 409 if isinstance(error, Conflict) else 422
            return page(
                request, visitor, "new_gateway.html",
                status_code=status, name=name, cloud=cloud, clouds=CLOUDS, error=error, field=_field_of(error),
            )  # fmt: skip
        return page(request, visitor, "pairing.html", status_code=201, made=made, gateway=made.gateway, is_new=True)

    @routes.get("/gateways/{gateway_id}/pairing-code")
    async def ask_pairing_code(request: Request, visitor: VisitorNeeded, gateway_id: str) -> Response:
        gateway = await service.gateways.get(visitor.actor, gateway_id)
        require(visitor.actor, Action.MAKE_PAIRING_CODE, gateway)
        return page(request, visitor, "pairing_again.html", gateway=gateway)

    @routes.post("/gateways/{gateway_id}/pairing-code")
    async def new_pairing_code(
        request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str
    ) -> Response:
        made = await service.gateways.new_pairing_code(visitor.actor, gateway_id)
        return page(request, visitor, "pairing.html", status_code=201, made=made, gateway=made.gateway, is_new=False)

    return routes


def _checked(name: str, cloud: str) -> NewGateway:
    """The same rule as the API's. Raises InvalidInput."""
    try:
        return NewGateway.model_validate({"name": name, "cloud": cloud})
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        explained = {
            "name": "A name has 1 to 63 letters, digits, blanks, dots, hyphens or underscores, "
            "and begins and ends with a letter or digit.",
            "cloud": "Choose one of the clouds.",
        }
        raise InvalidInput(explained[field], reason="request-invalid", field_name=field) from None


def _field_of(error: PcgError) -> str:
    return error.field_name if isinstance(error, InvalidInput) else error.fields.get("field", "")
