"""Completes what FastAPI writes into /api/openapi.json: the error's shape, the configuration's, and how to sign in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from pcg.console.api.problems import ProblemView, problem_responses
from pcg.model.configuration import Configuration

_TEMPLATE = "#/components/schemas/{model}"
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


def describe(app: FastAPI) -> None:
    """Replaces `app.openapi`; the document is made once, when it is first asked for."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(make())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in (ProblemView, Configuration):
        schema = model.model_json_schema(by_alias=True, ref_template=_TEMPLATE)
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas[model.__name__] = schema
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    # FastAPI describes its own shape of a wrong request; ours is the problem.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"]["422"] = problem_responses(422)[422]
            if "requestBody" in operation:
                # Before any route looks at it: a body that is not JSON, and one that is too large.
                for status, answer in problem_responses(400, 413).items():
                    operation["responses"].setdefault(str(status), answer)
            if path not in _OPEN_PATHS and not path.startswith("/gateway/"):
                operation["security"] = [{"key": []}]
    return document
