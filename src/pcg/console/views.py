"""What the REST API answers and the pages show, as types; OpenAPI is made from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pcg.model.configuration import CloudKind
from pcg.model.records import ConditionReport, Finding
from pcg.model.states import GatewayState, MachineRole, MachineState, Role, Severity, StepName


class View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class GatewayView(View):
    id: str
    name: str
    cloud: CloudKind
    state: GatewayState
    conditions: list[ConditionReport]
    address: str | None
    """of the gateway cluster's API server, once it is known"""
    connected: bool
    last_seen: datetime | None
    fingerprint: str | None
    """what the installer shows too, for a person to compare"""
    sealing_key: str | None
    """X25519, base64url: credentials are sealed to it"""
    generation: int
    incarnation: int
    configured: bool
    """a configuration exists (it is kept through a reset, to begin from)"""
    created_at: datetime
    registered_at: datetime | None
    registered_by: str | None
    agreed_unsaved: bool
    """a person agreed to a restored console; what runs at the gateway stays until the next change here"""
    registration_overdue: bool


class PairingView(View):
    """Shown once: the code is kept nowhere."""

    gateway: GatewayView
    pairing_code: str
    expires_at: datetime
    ca_pin: str
    endpoint: str
    install_command: str
    ovf_properties: dict[str, str]


class MachineView(View):
    name: str
    role: MachineRole
    address: str | None
    state: MachineState
    instance: str
    incarnation: int
    since: datetime | None


class EventView(View):
    position: int
    """the cursor: events after it are asked for with `after`"""
    at: datetime
    received_at: datetime
    severity: Severity
    reason: str
    message: str
    step: StepName | None
    machine: str | None
    fields: dict[str, str]
    finding: Finding | None = None
    """the known failure that it tells of, as it was seen last"""


class FindingView(Finding):
    """`closed` is null for an open one; else it stands in the history."""

    last_told: datetime | None = None
    """of an open one whose gateway is away: when that was last heard. It may be over since."""


class ConfigurationView(View):
    """The document as it is stored, with every default written out."""

    generation: int
    configuration: dict[str, Any]
    notices: list[str] = Field(default_factory=list)
    """what was normalised while it was read; asked for later: what a person should still put right in it"""


class CredentialsView(View):
    version: str


class DeletionView(View):
    """`deleted`: the gateway is gone now; else it removes its machines first. `remaining`: machines that stay."""

    deleted: bool
    remaining: list[MachineView]


class UserView(View):
    id: str
    email: str
    role: Role
    created_at: datetime


class KeyView(View):
    id: str
    name: str
    owner: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None


class NewKeyView(KeyView):
    key: str
    """shown once"""


class AuditView(View):
    position: int
    at: datetime
    actor: str
    action: str
    gateway_id: str | None
    gateway_name: str | None
    details: dict[str, Any]
