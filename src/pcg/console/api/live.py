"""Questions that only the gateway can answer, asked over its own session: preflight, inventory, kubeconfig."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, ValidationError

from pcg.console.api.dependencies import ActorNeeded, HubNeeded, ServiceNeeded
from pcg.console.api.problems import problem_responses
from pcg.console.auth import Action, Actor, require
from pcg.console.service import Service
from pcg.console.views import GatewayView
from pcg.errors import ProtocolError
from pcg.model.configuration import parse_configuration

Answer = TypeVar("Answer", bound=BaseModel)


class PreflightQuestion(BaseModel):
    configuration: dict[str, Any] | None = None
    """to be checked instead of the stored one"""


class CheckView(BaseModel):
    model_config = ConfigDict(extra="allow")

    what: str
    ok: bool | None
    """null: it cannot be told"""
    problem: dict[str, Any] | None = None


class PreflightView(BaseModel):
    model_config = ConfigDict(extra="allow")

    checks: list[CheckView]


class KubeconfigView(BaseModel):
    model_config = ConfigDict(extra="allow")

    kubeconfig: str


def router() -> APIRouter:
    routes = APIRouter(
        prefix="/gateways/{gateway_id}", tags=["live"], responses=problem_responses(401, 403, 404, 409, 422, 502, 503)
    )

    @routes.post("/preflight")
    async def run_preflight(
        actor: ActorNeeded,
        service: ServiceNeeded,
        hub: HubNeeded,
        gateway_id: str,
        body: PreflightQuestion | None = None,
    ) -> PreflightView:
        """Every check that can be made before machines are."""
        await _allowed(service, actor, Action.RUN_PREFLIGHT, gateway_id)
        arguments: dict[str, Any] = {}
        if body is not None and body.configuration is not None:
            configuration, _ = parse_configuration(body.configuration)
            arguments["configuration"] = configuration.model_dump(mode="json", by_alias=True)
        return _read(PreflightView, await hub.request(gateway_id, "preflight", arguments, actor))

    @routes.get("/inventory")
    async def show_inventory(
        actor: ActorNeeded,
        service: ServiceNeeded,
        hub: HubNeeded,
        gateway_id: str,
        datacenter: Annotated[str | None, Query(max_length=512)] = None,
    ) -> dict[str, Any]:
        """What there is to choose from in the cloud, through the gateway: `datacenters`, `clusters`,
        `resource_pools`, `folders`, `datastores` (with free space), `networks`, and `templates` of the template folder;
        `cut` is the number of those that were left out (at most 2,000 are told)."""
        await _allowed(service, actor, Action.SEE_INVENTORY, gateway_id)
        arguments = {"datacenter": datacenter} if datacenter else {}
        answer: dict[str, Any] = await hub.request(gateway_id, "inventory", arguments, actor)
        return answer

    @routes.post("/kubeconfig")
    async def make_kubeconfig(
        actor: ActorNeeded, service: ServiceNeeded, hub: HubNeeded, gateway_id: str
    ) -> KubeconfigView:
        """A certificate of 8 hours at most, for administrators; audited."""
        await _allowed(service, actor, Action.GET_KUBECONFIG, gateway_id)
        return _read(KubeconfigView, await hub.request(gateway_id, "kubeconfig", {}, actor))

    return routes


async def _allowed(service: Service, actor: Actor, action: Action, gateway_id: str) -> GatewayView:
    gateway = await service.gateways.get(actor, gateway_id)
    require(actor, action, gateway)
    return gateway


def _read(kind: type[Answer], body: dict[str, Any]) -> Answer:
    try:
        return kind.model_validate(body)
    except ValidationError:
        raise ProtocolError("The gateway answered something else than was asked.", reason="answer-invalid") from None
