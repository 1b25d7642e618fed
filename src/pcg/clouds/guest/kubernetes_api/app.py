"""The API server as one ASGI application: health, version, and the objects of `resources`.

Served by `api_servers` over TLS, or reached in process. `scope["state"]["peer"]` is the verified client certificate's
Peer or absent. Watches are not served: a client lists again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pcg.clouds.guest.kubernetes_api.authentication import authenticate, authorize
from pcg.clouds.guest.kubernetes_api.eviction import evict
from pcg.clouds.guest.kubernetes_api.health import health_text
from pcg.clouds.guest.kubernetes_api.resources import RESOURCES, Resource
from pcg.clouds.guest.kubernetes_api.status import StatusError, bad_request
from pcg.clouds.guest.kubernetes_api.store import ObjectStore

LARGEST_BODY = 3 * 1024 * 1024
"""bytes; kube-apiserver's own limit"""

Handler = Callable[[Request], Awaitable[Response]]


def build_application(
    store: ObjectStore, *, available: Callable[[], bool], now: Callable[[], datetime], version: Callable[[], str]
) -> Starlette:
    """`available` tells whether etcd has a quorum; `version` is Kubernetes' own, as `1.30.2`."""
    api = _Api(store, available, now, version)
    routes = [Route(path, api.health) for path in ("/readyz", "/livez", "/healthz")]
    routes.append(Route("/version", api.version))
    for resource in RESOURCES.values():
        base = "/api/v1" if resource.version == "v1" else f"/apis/{resource.version}"
        every = f"{base}/{resource.plural}"
        one_space = f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else every
        if resource.namespaced:
            routes.append(Route(every, _guarded(api.collection(resource)), methods=["GET"]))
        routes.append(Route(one_space, _guarded(api.collection(resource)), methods=["GET", "POST"]))
        methods = ["GET", "PUT", "PATCH", "DELETE"]
        routes.append(Route(f"{one_space}/{{name}}", _guarded(api.item(resource)), methods=methods))
    eviction = "/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    routes.append(Route(eviction, _guarded(api.eviction), methods=["POST"]))
    return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _wrong_method})


class _Api:
    def __init__(
        self,
        store: ObjectStore,
        available: Callable[[], bool],
        now: Callable[[], datetime],
        version: Callable[[], str],
    ) -> None:
        self._store = store
        self._available = available
        self._now = now
        self._version = version

    async def health(self, request: Request) -> Response:
        good = self._available()
        check = request.url.path.strip("/")
        if good and "verbose" not in request.query_params:
            return PlainTextResponse("ok")
        return PlainTextResponse(health_text(check, etcd=good), status_code=200 if good else 500)

    async def version(self, request: Request) -> Response:
        version = self._version()
        major, minor, *_ = f"{version}.0".split(".")
        return JSONResponse({"major": major, "minor": minor, "gitVersion": f"v{version}", "platform": "linux/amd64"})

    def collection(self, resource: Resource) -> Handler:
        async def answer(request: Request) -> Response:
            namespace = request.path_params.get("namespace", "")
            verb = "create" if request.method == "POST" else "list"
            self._admit(request, verb, resource.plural, namespace, "")
            if verb == "create":
                created = _named(await _body(request))
                return JSONResponse(self._store.create(resource.plural, created, namespace), status_code=201)
            if request.query_params.get("watch") in ("true", "1"):
                raise StatusError(405, "MethodNotAllowed", "the server does not allow this method: watch")
            found = self._store.select(
                resource.plural,
                namespace or None,
                labels=_selector(request.query_params.get("labelSelector", "")),
                fields=_selector(request.query_params.get("fieldSelector", "")),
            )
            return JSONResponse(
                {
                    "kind": f"{resource.kind}List",
                    "apiVersion": resource.version,
                    "metadata": {"resourceVersion": str(self._store.revision)},
                    "items": found,
                }
            )

        return answer

    def item(self, resource: Resource) -> Handler:
        verbs = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

        async def answer(request: Request) -> Response:
            namespace, name = request.path_params.get("namespace", ""), request.path_params["name"]
            verb = verbs[request.method]
            self._admit(request, verb, resource.plural, namespace, name)
            if verb == "get":
                return JSONResponse(self._store.get(resource.plural, name, namespace))
            if verb == "delete":
                removed = self._store.delete(resource.plural, name, namespace)
                details = {"name": name, "kind": resource.plural, "uid": removed["metadata"]["uid"]}
                success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
                return JSONResponse({**success, "details": details})
            media = request.headers.get("content-type", "").partition(";")[0]
            if verb == "patch" and media != "application/merge-patch+json":
                raise StatusError(
                    415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {media}"
                )
            given = await _body(request)
            if verb == "update":
                return JSONResponse(self._store.replace(resource.plural, name, given, namespace))
            return JSONResponse(self._store.patch(resource.plural, name, given, namespace))

        return answer

    async def eviction(self, request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        self._admit(request, "create", "pods/eviction", namespace, name)
        evict(self._store, name, namespace, await _body(request))
        return JSONResponse({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}, 201)

    def _admit(self, request: Request, verb: str, plural: str, namespace: str, name: str) -> None:
        peer = getattr(request.state, "peer", None)
        user = authenticate(peer, request.headers.get("authorization", ""), self._store, self._now())
        authorize(user, verb, plural, namespace, name)


def _guarded(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except StatusError as error:
            return JSONResponse(error.document(), status_code=error.code)

    return answer


async def _unknown_path(request: Request, error: Exception) -> Response:
    refusal = StatusError(404, "NotFound", "the server could not find the requested resource")
    return JSONResponse(refusal.document(), status_code=404)


async def _wrong_method(request: Request, error: Exception) -> Response:
    refusal = StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return JSONResponse(refusal.document(), status_code=405)


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST_BODY:
            raise StatusError(413, "RequestEntityTooLarge", f"limit is {LARGEST_BODY}")
    try:
        document = json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(document, dict):
        raise bad_request("the body of the request must be an object")
    return document


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """`generateName` becomes a name, as the API server makes it."""
    metadata = given.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") or not isinstance(metadata.get("generateName"), str):
        return given
    return {**given, "metadata": {**metadata, "name": metadata["generateName"] + secrets.token_hex(3)[:5]}}


def _selector(text: str) -> dict[str, str]:
    """Equality alone: `key=value,key==value`."""
    selector = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.replace("==", "=").partition("=")
        if not equals or key.endswith("!"):
            raise bad_request(f"unable to parse requirement: {part!r}: only key=value is served here")
        selector[key.strip()] = value.strip()
    return selector
