"""Every frame of a session, one class each, told apart by `type`. A frame is one JSON text message.

Order: gateway `hello` → console `challenge` → gateway `proof` → console `welcome`; afterwards both sides send freely.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from pcg.errors import ProtocolError
from pcg.model.desired import DesiredState
from pcg.model.records import Event, GatewayStatus, Record

MAXIMUM_FRAME_BYTES = 1 << 20
"""larger frames are refused by both sides"""

HEARTBEAT_SECONDS = 20.0
"""at most this long between two frames of one side; a session silent for three is dead"""

MAXIMUM_REPORTS = 64
"""events in one `reports` frame"""


MAXIMUM_WRITERS = 1000
"""that a proof may name"""

MAXIMUM_NUMBER = 2**53
"""terms, generations and numbers of events above it fit neither the stores' columns nor JSON elsewhere"""

Stored = dict[str, Annotated[int, Field(ge=0, le=MAXIMUM_NUMBER)]]
"""the last number stored of each writer"""


def _finite(body: dict[str, Any]) -> dict[str, Any]:
    """Python reads NaN and Infinity, which are not JSON and which nobody could be answered with."""
    json.dumps(body, allow_nan=False)
    return body


def _countable(state: DesiredState) -> DesiredState:
    if not (0 <= state.generation <= MAXIMUM_NUMBER and 0 <= state.incarnation <= MAXIMUM_NUMBER):
        raise ValueError("a generation or an incarnation is out of range")
    return state


class Hello(Record):
    type: Literal["hello"] = "hello"
    versions: tuple[int, int]
    """lowest and highest that the gateway speaks"""
    gateway_id: str = Field(max_length=64)
    nonce: str = Field(max_length=128)
    software: str = Field(default="", max_length=64)


class Challenge(Record):
    """Proves the console: a signature over the label, ids, both nonces and the version (see `sealing.session`)."""

    type: Literal["challenge"] = "challenge"
    version: int
    console_id: str = Field(max_length=64)
    nonce: str = Field(max_length=128)
    signature: str = Field(max_length=128)


class Proof(Record):
    """Proves the gateway. `term` 0 asks to take over; else the term that this process holds."""

    type: Literal["proof"] = "proof"
    signature: str = Field(max_length=128)
    term: int = 0
    writer: str = Field(max_length=64)
    """id of this process's reports, new at each start"""
    writers: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=MAXIMUM_WRITERS)
    """of whom the gateway still keeps events, the latest first: `welcome.stored` shall name each of them"""


class Welcome(Record):
    type: Literal["welcome"] = "welcome"
    term: int = Field(ge=0, le=MAXIMUM_NUMBER)
    stored: Stored
    """last number stored of the latest 64 writers that the console knows of this gateway, and of each that the proof
    named; 0 when nothing of it is stored"""
    heartbeat_seconds: float = Field(default=HEARTBEAT_SECONDS, gt=0, allow_inf_nan=False)
    time: datetime


class Desired(Record):
    type: Literal["desired"] = "desired"
    state: Annotated[DesiredState, AfterValidator(_countable)]


class Report(Record):
    """An event, known by (gateway, writer, number); numbers of a writer begin at 1 and leave no gap."""

    writer: str = Field(max_length=64)
    number: int = Field(ge=1)
    event: Event


class Reports(Record):
    type: Literal["reports"] = "reports"
    reports: list[Report] = Field(max_length=MAXIMUM_REPORTS)


class Acknowledge(Record):
    """Sent after the reports are committed."""

    type: Literal["acknowledge"] = "acknowledge"
    stored: Stored


class Status(Record):
    """Newest wins: of one term the highest revision, of two terms the higher."""

    type: Literal["status"] = "status"
    term: int
    revision: int
    status: GatewayStatus


class Heartbeat(Record):
    type: Literal["heartbeat"] = "heartbeat"
    time: datetime | None = None


RequestVerb = Literal["preflight", "inventory", "kubeconfig", "bundle"]


class Request(Record):
    """Console to gateway: one of a closed list of read-only verbs. `deadline` in seconds, `limit` in bytes."""

    type: Literal["request"] = "request"
    id: str = Field(max_length=64)
    verb: RequestVerb
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=32)
    deadline: float = Field(default=60.0, gt=0, le=3600)
    limit: int = Field(default=MAXIMUM_FRAME_BYTES // 2, gt=0)


class Response(Record):
    type: Literal["response"] = "response"
    id: str = Field(max_length=64)
    ok: bool
    body: Annotated[dict[str, Any], AfterValidator(_finite)] = Field(default_factory=dict)
    """the answer, or when not ok the fields of a Problem"""


class Cancel(Record):
    type: Literal["cancel"] = "cancel"
    id: str = Field(max_length=64)


class Superseded(Record):
    """Another process of this gateway holds a higher term: stop acting, do not come back."""

    type: Literal["superseded"] = "superseded"
    term: int


class Farewell(Record):
    """The gateway was deleted and is clean: wipe the keys and end."""

    type: Literal["farewell"] = "farewell"
    reason: Literal["deleted", "revoked"] = "deleted"


class Refusal(Record):
    """The session ends. `final`: coming back is useless until a person acts."""

    type: Literal["refusal"] = "refusal"
    reason: Literal["unknown-gateway", "bad-proof", "version", "protocol", "too-large", "busy"]
    message: str = Field(default="", max_length=1024)
    final: bool = False


Frame = Annotated[
    Hello
    | Challenge
    | Proof
    | Welcome
    | Desired
    | Reports
    | Acknowledge
    | Status
    | Heartbeat
    | Request
    | Response
    | Cancel
    | Superseded
    | Farewell
    | Refusal,
    Field(discriminator="type"),
]

_ADAPTER: TypeAdapter[Frame] = TypeAdapter(Frame)


def encode(frame: Frame) -> str:
    """JSON text; never longer than MAXIMUM_FRAME_BYTES (raises ProtocolError)."""
    text = frame.model_dump_json(by_alias=True)
    if len(text.encode()) > MAXIMUM_FRAME_BYTES:
        raise ProtocolError(f"A {frame.type} frame would be too large.", reason="too-large")
    return text


def decode(text: str | bytes) -> Frame:
    """Raises ProtocolError for anything that is not one of the frames above; unknown fields are ignored."""
    if len(text) > MAXIMUM_FRAME_BYTES:
        raise ProtocolError("The peer sent a frame that is too large.", reason="too-large")
    try:
        frame = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(
            "The peer sent something that is not a frame.", reason="protocol", evidence=[f"{where}: {first['msg']}"]
        ) from None
    if isinstance(frame, Reports | Status) and not all(1 < time.year < 9999 for time in _times(frame)):
        # It could be moved to no other zone, and whoever stores or shows it would stumble.
        raise ProtocolError("The peer sent a time at the edge of the calendar.", reason="protocol")
    return frame


def _times(value: Any) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, Record):
        for name in type(value).model_fields:
            yield from _times(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _times(item)
