"""A gateway's event as a row of the store: without what a database cannot hold, and cut where it is too large.

Cut and not refused: the gateway sends its events in order, and one that were refused would stop all behind it.
Called by `reports.py`; pure.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from pcg.wire.frames import Report

MAXIMUM_EVENT_BYTES = 64 * 1024
"""of message and fields as they are stored"""

CUT_FIELD = "cut-by-console"
"""stands among the fields of an event that was cut, and says how large it was"""

MAXIMUM_FINDING_BYTES = 72 * 1024
"""as JSON with its escapes, which make three times as much of what a gateway sends"""

_NAME_BYTES = 128
_VALUE_BYTES = 1024
"""of one field as JSON: 32 of them fit, and the longest message (4096 characters) beside them"""

ROW_BYTES = 200
"""about what a row takes beside message and fields"""


def event_row(gateway_id: str, report: Report, now: datetime) -> dict[str, Any]:
    event = report.event
    message, fields = _fitting(storable(event.message), storable(event.fields))
    finding = storable(event.finding.model_dump(mode="json")) if event.finding else None
    if finding is not None and len(json.dumps(finding)) > MAXIMUM_FINDING_BYTES:
        finding, fields = None, {**fields, CUT_FIELD: "its finding was too large to be stored"}
    return {
        "gateway_id": gateway_id,
        "writer": report.writer,
        "number": report.number,
        "at": _in_utc(event.at),
        "received_at": now,
        "severity": event.severity.value,
        "reason": event.reason,
        "message": message,
        "step": event.step.value if event.step else None,
        "machine": storable(event.machine),
        "fields": fields,
        "finding": finding,
    }


def row_bytes(row: dict[str, Any]) -> int:
    """What it takes in the store, about."""
    finding = json.dumps(row["finding"]) if row["finding"] else ""
    return _bytes(row["message"], row["fields"]) + len(finding) + ROW_BYTES


def storable(value: Any) -> Any:
    """PostgreSQL stores no NUL character, and JSON no number that is none (NaN); one of them in what a vendor says must
    not stop the reports behind it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value


def _in_utc(at: datetime) -> datetime:
    """At the ends of the calendar there is no such moment in UTC; what the gateway's clock showed is kept then."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return at.replace(tzinfo=UTC)


def _fitting(message: str, fields: dict[str, str]) -> tuple[str, dict[str, str]]:
    size = _bytes(message, fields)
    if size <= MAXIMUM_EVENT_BYTES:
        return message, fields
    cut: dict[str, str] = {}
    for name, value in fields.items():
        cut.setdefault(_cut(name, _NAME_BYTES), _cut(value, _VALUE_BYTES))
    cut[CUT_FIELD] = f"it had {size} bytes; the console stores at most {MAXIMUM_EVENT_BYTES} of an event"
    return message, cut


def _bytes(message: str, fields: dict[str, str]) -> int:
    return len(message.encode()) + len(json.dumps(fields))


def _cut(text: str, most: int) -> str:
    # JSON writes a character as one to twelve bytes, so its length is measured and not computed.
    shortened = text[:most]
    while (length := len(json.dumps(shortened))) > most:
        shortened = shortened[: len(shortened) * most // length]
    return shortened if len(shortened) == len(text) else shortened + "…"
