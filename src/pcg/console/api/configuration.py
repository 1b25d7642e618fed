"""`/api/v1/gateways/{id}/configuration` and `/credentials`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field

from pcg.console.api.dependencies import ActorNeeded, ServiceNeeded
from pcg.console.api.problems import problem_responses
from pcg.console.configuration_checks import MAXIMUM_CIPHERTEXT
from pcg.console.views import ConfigurationView, CredentialsView
from pcg.errors import InvalidInput
from pcg.model.yaml_document import parse_yaml

MAXIMUM_DOCUMENT = 256 * 1024
"""bytes; a configuration with two CAs has some ten thousand"""

_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


class NewCredentials(BaseModel):
    ciphertext: Annotated[str, Field(max_length=MAXIMUM_CIPHERTEXT)]
    """base64 of a libsodium sealed box for the gateway's `sealing_key`"""


def router() -> APIRouter:
    routes = APIRouter(
        prefix="/gateways/{gateway_id}", tags=["configuration"], responses=problem_responses(401, 403, 404)
    )

    document_schema = {"$ref": "#/components/schemas/Configuration"}

    @routes.get("/configuration")
    async def show_configuration(
        actor: ActorNeeded, service: ServiceNeeded, gateway_id: str, response: Response
    ) -> ConfigurationView:
        """With its ETag, for If-Match of a change."""
        stored = await service.configurations.get(actor, gateway_id)
        response.headers["ETag"] = stored.etag
        return stored.view

    @routes.put(
        "/configuration",
        responses=problem_responses(400, 409, 412, 413, 422),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": document_schema} for kind in ("application/json", "application/yaml")},
            }
        },
    )
    async def configure_gateway(
        request: Request,
        actor: ActorNeeded,
        service: ServiceNeeded,
        gateway_id: str,
        response: Response,
        if_match: Annotated[str | None, Header(max_length=1024)] = None,
    ) -> ConfigurationView:
        """The whole document of docs/configuration.md, as JSON or YAML. The same again changes nothing."""
        document = await read_document(await request.body(), request.headers.get("content-type", ""))
        stored = await service.configurations.configure(actor, gateway_id, document, if_match=if_match)
        response.headers["ETag"] = stored.etag
        return stored.view

    @routes.put("/credentials", responses=problem_responses(400, 409, 422))
    async def set_credentials(
        actor: ActorNeeded, service: ServiceNeeded, gateway_id: str, body: NewCredentials
    ) -> CredentialsView:
        """Ciphertext only: the console cannot read them."""
        return await service.configurations.set_credentials(actor, gateway_id, body.ciphertext)

    return routes


async def read_document(body: bytes, content_type: str) -> Any:
    """JSON or, when the type says so, YAML. Raises InvalidInput. Also used by the page that edits YAML."""
    if len(body) > MAXIMUM_DOCUMENT:
        raise InvalidInput(
            f"A configuration has at most {MAXIMUM_DOCUMENT} bytes.", reason="body-too-large", field_name="body"
        )
    if content_type.partition(";")[0].strip().lower() in _YAML:
        # In a thread: a large document takes the parser some tenths of a second.
        return await asyncio.to_thread(parse_yaml, body, what="The body", field_name="body")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON.", reason="not-json", field_name="body") from None
