"""What may come from a hostile peer, for Hypothesis: texts, JSON of any shape, and frames that are nearly right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_TYPES = [
    "hello", "challenge", "proof", "welcome", "desired", "reports", "acknowledge", "status", "heartbeat", "request",
    "response", "cancel", "superseded", "farewell", "refusal", "nothing",
]  # fmt: skip

_NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, -(2**63), 10**300, 0.5, 1e308, True])
_TEXTS = st.sampled_from(
    ["", "x", "\0", "\x7f", "ä" * 65, "x" * 5000, "../..", "' OR 1=1 --", "<script>", "\u202e", "1"]
)
_TIMES = st.sampled_from(
    ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "now", 1e15, -1e15]
)
_SCALARS = st.one_of(_NUMBERS, _TEXTS, _TIMES, st.sampled_from([float("nan"), float("inf")]), st.none())
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=8,
)

_EVENT = {"at": "2026-01-01T00:00:00Z", "reason": "tested", "message": "m"}
_STATE = {"generation": 1, "incarnation": 1, "mode": "idle"}
_NEARLY: list[dict[str, Any]] = [
    {"type": "reports", "reports": [{"writer": "w", "number": 1, "event": _EVENT}]},
    {"type": "reports", "reports": [{"writer": "w", "number": 2, "event": {**_EVENT, "fields": {"a": "b"}}}] * 2},
    {"type": "reports", "reports": []},
    {"type": "status", "term": 1, "revision": 1, "status": {"generation": 1, "incarnation": 1}},
    {"type": "response", "id": "1", "ok": True, "body": {}},
    {"type": "heartbeat", "time": "2026-01-01T00:00:00Z"},
    {"type": "hello", "versions": [1, 1], "gateway_id": "g", "nonce": "n", "software": "s"},
    {"type": "proof", "signature": "s", "term": 0, "writer": "w"},
    {"type": "welcome", "term": 1, "stored": {"w": 1}, "heartbeat_seconds": 20.0, "time": "2026-01-01T00:00:00Z"},
    {"type": "challenge", "version": 1, "console_id": "c", "nonce": "n", "signature": "s"},
    {"type": "desired", "state": _STATE},
    {"type": "acknowledge", "stored": {"w": 1}},
    {"type": "request", "id": "1", "verb": "inventory", "arguments": {}, "deadline": 60.0, "limit": 1000},
    {"type": "request", "id": "2", "verb": "kubeconfig", "arguments": {}},
    {"type": "cancel", "id": "1"},
]


@st.composite
def _frames(draw: st.DrawFn) -> str:
    """A frame, with up to two of its parts replaced or taken away, wherever they stand."""
    document = json.loads(json.dumps(draw(st.sampled_from(_NEARLY))))
    for _ in range(draw(st.integers(0, 2))):
        holder, key = draw(st.sampled_from(list(_places(document))))
        if isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = draw(st.one_of(_SCALARS, _SCALARS, _TIMES, _VALUES))
    return json.dumps(document)


def _places(inside: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a document, by what holds it and its name there."""
    for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
        yield inside, key
        if isinstance(inside[key], dict | list):
            yield from _places(inside[key])


@st.composite
def _typed(draw: st.DrawFn) -> str:
    return json.dumps({"type": draw(st.sampled_from(_TYPES)), **draw(st.dictionaries(_TEXTS, _VALUES, max_size=3))})


MESSAGES = st.one_of(_frames(), _frames(), _frames(), _typed(), _VALUES.map(json.dumps), st.text(max_size=20))
