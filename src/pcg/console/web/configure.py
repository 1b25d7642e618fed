"""Configure a gateway: a form, the same as YAML, and the password, which is sealed here before anything keeps it.

A browser has no sealed boxes of its own; so the password comes in the form over TLS, is sealed to the gateway's key
together with address, trust and account at once, and the plain one is neither stored, logged nor shown again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pcg.console.api.configuration import read_document
from pcg.console.auth import Action, require
from pcg.console.configurations import Stored
from pcg.console.hub import Hub
from pcg.console.service import Service
from pcg.console.views import GatewayView
from pcg.console.web.configuration_form import (
    PLACEMENT_PARTS,
    check_choices,
    document_of,
    errors_by_field,
    fields_of,
    new_document,
    placements_of,
)
from pcg.console.web.configuration_text import as_yaml
from pcg.console.web.gateways import CLOUDS
from pcg.console.web.preflight import Preflight, run_preflight
from pcg.console.web.suggestions import Suggester, Suggestions
from pcg.console.web.templating import FINGERPRINT, page
from pcg.console.web.visitor import Typed, TypedByVisitor, Visitor, VisitorNeeded
from pcg.errors import Conflict, InvalidInput
from pcg.model.configuration import SIZES, Configuration, parse_configuration
from pcg.model.states import ConditionName
from pcg.sealing.boxes import seal_credentials

MAXIMUM_PASSWORD = 1024

ShownAs = Annotated[str, Query(alias="as", max_length=10)]
Pin = Annotated[str, Query(max_length=95, pattern=f"^({FINGERPRINT.pattern})?$")]
"""a fingerprint that a person wants to confirm: SHA-256 of the server's certificate"""


@dataclass(frozen=True)
class Draft:
    """What the page shows. `etag` is of the configuration that the draft began from; empty where there was none."""

    as_text: bool
    fields: dict[str, str] = field(default_factory=dict)
    text: str = ""
    etag: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    conflict: str = ""
    """the present configuration, when someone else changed it in between"""
    preflight: Preflight | None = None
    pin: str = ""
    """filled in for the person to confirm"""
    offered: Suggestions = field(default_factory=dict)

    @property
    def placements(self) -> list[int]:
        return placements_of(self.fields)


def router(service: Service, hub: Hub) -> APIRouter:
    routes = APIRouter(prefix="/gateways/{gateway_id}")
    suggester = Suggester(hub, service.clock)

    @routes.get("/configure")
    async def show(
        request: Request, visitor: VisitorNeeded, gateway_id: str, shown_as: ShownAs = "form", pin: Pin = ""
    ) -> Response:
        gateway = await _to_configure(service, visitor, gateway_id)
        stored = await _stored(service, visitor, gateway)
        document = stored.view.configuration if stored else new_document(gateway.cloud)
        etag = stored.etag if stored else ""
        if shown_as == "yaml":
            return _answer(request, visitor, gateway, Draft(as_text=True, text=as_yaml(document), etag=etag))
        fields = fields_of(document)
        if pin:
            fields |= {"vcenter.trust": "thumbprint", "vcenter.trust.thumbprint": pin, "vcenter.trust.ca": ""}
        offered = await suggester.of(visitor.actor, gateway)
        draft = Draft(as_text=False, fields=fields, etag=etag, pin=pin, offered=offered)
        return _answer(request, visitor, gateway, draft)

    @routes.post("/configure")
    async def change(request: Request, visitor: VisitorNeeded, typed: TypedByVisitor, gateway_id: str) -> Response:
        gateway = await _to_configure(service, visitor, gateway_id)
        stored = await _stored(service, visitor, gateway)
        draft = _draft_of(typed)
        do, _, number = typed["do"].partition(".")
        offered = await suggester.of(visitor.actor, gateway, ask=do not in ("save", "show-yaml"))
        draft = dataclasses.replace(draft, offered=offered)
        if not draft.as_text and do in _EDITS:
            return _answer(request, visitor, gateway, _EDITS[do](draft, number))
        # Only `save` saves: a press of the tab that is open already shows it again.
        if do not in ("save", "check") and not (do == "show-form" and draft.as_text):
            return _answer(request, visitor, gateway, draft)
        try:
            document = await _document(draft)
            configuration, _ = parse_configuration(document)
            if do == "show-form":
                return _answer(request, visitor, gateway, _as_form(draft, configuration))
            if do == "check":
                found = await run_preflight(service, hub, visitor.actor, gateway, configuration)
                return _answer(request, visitor, gateway, dataclasses.replace(draft, preflight=found))
            return await _save(request, service, visitor, gateway, stored, draft, document, typed["password"])
        except InvalidInput as error:
            errors = errors_by_field(error, {**draft.fields, "password": ""})
            if stored is None and not typed["password"] and do == "save":
                errors.setdefault("password", "This is needed.")
            return _answer(request, visitor, gateway, dataclasses.replace(draft, errors=errors), 422)
        except Conflict as error:
            if error.reason in ("needs-reset", "addresses-overlap"):
                told = [error.what] if error.reason == "addresses-overlap" else [error.cause, *error.remedy]
                errors = {error.fields["field"]: " ".join(told)}
                return _answer(request, visitor, gateway, dataclasses.replace(draft, errors=errors), 409)
            if error.reason != "changed-meanwhile":
                raise
            present = await service.configurations.get(visitor.actor, gateway_id)
            draft = dataclasses.replace(draft, etag=present.etag, conflict=as_yaml(present.view.configuration))
            return _answer(request, visitor, gateway, draft, 412)

    return routes


async def _save(
    request: Request,
    service: Service,
    visitor: Visitor,
    gateway: GatewayView,
    stored: Stored | None,
    draft: Draft,
    document: Any,
    password: str,
) -> Response:
    configuration, _ = parse_configuration(document)
    ciphertext = None
    if password:
        require(visitor.actor, Action.SET_CREDENTIALS, gateway)
        ciphertext = _sealed(gateway, configuration, password)
    else:
        _check_password_not_needed(gateway, stored, configuration)
    if stored is not None and not draft.etag:
        raise Conflict("A configuration was made by someone else in between.", reason="changed-meanwhile")
    saved = await service.configurations.configure(
        visitor.actor, gateway.id, document, if_match=draft.etag or None, ciphertext=ciphertext
    )
    if saved.view.notices:
        return page(request, visitor, "saved.html", gateway=gateway, notices=saved.view.notices)
    return RedirectResponse(f"/gateways/{gateway.id}", 303)


def _sealed(gateway: GatewayView, configuration: Configuration, password: str) -> str:
    if len(password) > MAXIMUM_PASSWORD:
        raise InvalidInput(
            f"A password has at most {MAXIMUM_PASSWORD} characters.", reason="password-length", field_name="password"
        )
    assert gateway.sealing_key is not None
    return seal_credentials(gateway.sealing_key, gateway.id, configuration.vcenter, password)


def _check_password_not_needed(gateway: GatewayView, stored: Stored | None, configuration: Configuration) -> None:
    """Raises InvalidInput when no password is sealed that the gateway could use with this configuration."""
    if stored is None:
        why = "This is needed."
    elif any(condition.name is ConditionName.CREDENTIALS_NEEDED for condition in gateway.conditions):
        why = "The gateway has no password that it can use: enter it."
    elif parse_configuration(stored.view.configuration)[0].vcenter != configuration.vcenter:
        why = "Address, trust or user name changed. The password is sealed together with them: enter it again."
    else:
        return
    raise InvalidInput(why, reason="password-needed", field_name="password")


async def _to_configure(service: Service, visitor: Visitor, gateway_id: str) -> GatewayView:
    """Raises Conflict before registration: there is no key yet to which a password could be sealed."""
    gateway = await service.gateways.get(visitor.actor, gateway_id)
    require(visitor.actor, Action.CONFIGURE, gateway)
    if gateway.sealing_key is None:
        raise Conflict(
            f"Gateway {gateway.name} has not registered yet.",
            reason="not-registered",
            cause="Its password is sealed to a key that only the registered gateway has.",
            remedy=["Start the installer with the pairing code; come back when the gateway is Pending."],
        )
    return gateway


async def _stored(service: Service, visitor: Visitor, gateway: GatewayView) -> Stored | None:
    return await service.configurations.get(visitor.actor, gateway.id) if gateway.configured else None


def _draft_of(typed: Typed) -> Draft:
    as_text = typed["kind"] == "yaml"
    known = fields_of({"placement": [{}] * (max(placements_of(typed), default=0) + 1)})
    numbers = {f"placement.{number}." for number in placements_of(typed)}
    fields = {
        name: typed[name] for name in known if not name.startswith("placement.") or name.startswith(tuple(numbers))
    }
    return Draft(as_text=as_text, fields={} if as_text else fields, text=typed["yaml"], etag=typed["etag"])


async def _document(draft: Draft) -> Any:
    if draft.as_text:
        return await read_document(draft.text.encode(), "application/yaml")
    check_choices(draft.fields)
    return document_of(draft.fields)


def _as_form(draft: Draft, configuration: Configuration) -> Draft:
    fields = fields_of(configuration.model_dump(mode="json", by_alias=True))
    return dataclasses.replace(draft, as_text=False, fields=fields)


def _as_text(draft: Draft, _number: str) -> Draft:
    return dataclasses.replace(draft, as_text=True, text=as_yaml(document_of(draft.fields)))


def _with_placement(draft: Draft, _number: str) -> Draft:
    """Another failure domain that begins with what the last one says: they often share all but the cluster."""
    numbers = draft.placements
    last, new = (numbers[-1], numbers[-1] + 1) if numbers else (0, 0)
    added = {f"placement.{new}.{part}": draft.fields.get(f"placement.{last}.{part}", "") for part in PLACEMENT_PARTS}
    return dataclasses.replace(draft, fields=draft.fields | added)


def _without_placement(draft: Draft, number: str) -> Draft:
    left = [kept for kept in draft.placements if str(kept) != number]
    other = {name: value for name, value in draft.fields.items() if not name.startswith("placement.")}
    moved = {
        f"placement.{index}.{part}": draft.fields[f"placement.{kept}.{part}"]
        for index, kept in enumerate(left)
        for part in PLACEMENT_PARTS
    }
    return dataclasses.replace(draft, fields=other | moved)


_EDITS = {"show-yaml": _as_text, "add-placement": _with_placement, "remove-placement": _without_placement}
"""what a button of the form does to it without a look at whether it is right"""


def _answer(request: Request, visitor: Visitor, gateway: GatewayView, draft: Draft, status_code: int = 200) -> Response:
    return page(
        request,
        visitor,
        "configure.html",
        status_code=status_code,
        gateway=gateway,
        cloud=CLOUDS[gateway.cloud],
        draft=draft,
        sizes=SIZES,
    )
