"""Frames: what is sent is what arrives; anything else is a ProtocolError, never another exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcg.errors import ProtocolError
from pcg.model.records import Event, GatewayStatus
from pcg.wire import frames, versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLES: list[frames.Frame] = [
    frames.Hello(versions=(1, 1), gateway_id="g", nonce="n"),
    frames.Challenge(version=1, console_id="c", nonce="n", signature="s"),
    frames.Proof(signature="s", term=3, writer="w"),
    frames.Welcome(term=4, stored={"w": 9}, time=NOW),
    frames.Reports(reports=[frames.Report(writer="w", number=1, event=Event(at=NOW, reason="A", message="m"))]),
    frames.Acknowledge(stored={"w": 1}),
    frames.Status(term=1, revision=2, status=GatewayStatus(generation=1, incarnation=1)),
    frames.Heartbeat(time=NOW),
    frames.Request(id="1", verb="preflight"),
    frames.Response(id="1", ok=True, body={"checks": []}),
    frames.Cancel(id="1"),
    frames.Superseded(term=5),
    frames.Farewell(),
    frames.Refusal(reason="version", final=True),
]


@pytest.mark.parametrize("frame", EXAMPLES, ids=lambda frame: frame.type)
def test_round_trip(frame: frames.Frame) -> None:
    assert frames.decode(frames.encode(frame)) == frame


@pytest.mark.parametrize("frame", EXAMPLES, ids=lambda frame: frame.type)
def test_unknown_fields_are_ignored(frame: frames.Frame) -> None:
    document = {**json.loads(frames.encode(frame)), "from-the-future": {"a": 1}}
    assert frames.decode(json.dumps(document)) == frame


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_garbage_is_a_protocol_error(text: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        frames.decode(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    st.sampled_from(EXAMPLES),
    st.data(),
)
def test_a_wrong_value_in_any_field_is_a_protocol_error_or_a_frame(
    value: object, frame: frames.Frame, data: st.DataObject
) -> None:
    document = json.loads(frames.encode(frame))
    document[data.draw(st.sampled_from(sorted(document)))] = value
    try:
        frames.decode(json.dumps(document))
    except ProtocolError as error:
        assert error.evidence


def test_too_large_is_refused_both_ways() -> None:
    large = "x" * (frames.MAXIMUM_FRAME_BYTES + 1)
    with pytest.raises(ProtocolError, match="too large"):
        frames.decode(large)
    with pytest.raises(ProtocolError, match="too large"):
        frames.encode(frames.Response(id="1", ok=True, body={"text": large}))


@pytest.mark.parametrize(
    "offer,agreed", [((1, 1), 1), ((1, 9), versions.CURRENT), ((versions.CURRENT + 1, 99), None), ((0, 0), None)]
)
def test_negotiation(offer: tuple[int, int], agreed: int | None) -> None:
    assert versions.negotiate(*offer) == agreed
