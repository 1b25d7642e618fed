"""The preflight, asked of the gateway from the page that configures it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pcg.console.api.live import PreflightView
from pcg.console.auth import Action, Actor, require
from pcg.console.hub import Hub
from pcg.console.service import Service
from pcg.console.views import GatewayView
from pcg.errors import PcgError, ProtocolError
from pcg.model.configuration import Configuration
from pcg.model.records import Problem


@dataclass(frozen=True)
class Check:
    what: str
    ok: bool | None
    problem: Problem | None


@dataclass(frozen=True)
class Preflight:
    """Checks, or the reason why the gateway could not be asked."""

    checks: list[Check] = field(default_factory=list)
    error: PcgError | None = None


async def run_preflight(
    service: Service, hub: Hub, actor: Actor, gateway: GatewayView, configuration: Configuration
) -> Preflight:
    """With the gateway's present credentials; they are tried only where they were sealed for."""
    require(actor, Action.RUN_PREFLIGHT, gateway)
    arguments: dict[str, Any] = {"configuration": configuration.model_dump(mode="json", by_alias=True)}
    try:
        answer = await hub.request(gateway.id, "preflight", arguments, actor)
        checks = PreflightView.model_validate(answer).checks
        return Preflight(
            [
                Check(item.what, item.ok, Problem.model_validate(item.problem) if item.problem else None)
                for item in checks
            ]
        )
    except ValidationError:
        wrong = ProtocolError("The gateway answered something else than was asked.", reason="answer-invalid")
        return Preflight(error=wrong)
    except PcgError as error:
        return Preflight(error=error)
