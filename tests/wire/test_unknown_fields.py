"""A newer console may send more than this version knows, at any depth; a person who mistypes a key is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pcg.errors import InvalidInput
from pcg.model.configuration import parse_configuration
from pcg.wire import frames
from wire.stage import CONFIGURATION

V1 = Path(__file__).parent / "v1"


def _with_more(value: Any) -> Any:
    """The same with an unknown field in every object."""
    if isinstance(value, dict):
        return {"unknown": {"a": 1}} | {key: _with_more(item) for key, item in value.items()}
    return [_with_more(item) for item in value] if isinstance(value, list) else value


def _desired() -> dict[str, Any]:
    document: dict[str, Any] = {
        **CONFIGURATION,
        "nodes": {"count": 1, "size": {"cpus": 2, "memoryGiB": 4, "diskGiB": 40}},
        "network": {"addresses": {"static": {"range": "10.0.0.1-10.0.0.9", "prefix": 24, "gateway": "10.0.0.254"}}},
    }
    state = {"generation": 1, "incarnation": 1, "mode": "run", "configuration": document}
    state["console_ca"] = "pem"
    return {"type": "desired", "state": {**state, "credentials": {"version": "v", "ciphertext": "c"}}}


def test_a_desired_state_of_a_newer_console_is_understood():
    plain = frames.decode(json.dumps(_desired()))
    assert frames.decode(json.dumps(_with_more(_desired()))) == plain
    assert frames.decode(frames.encode(plain)) == plain


def test_a_console_that_tells_no_ca_is_understood():
    """An older one, or one that has never changed its CA."""
    frame = _desired()
    del frame["state"]["console_ca"]
    decoded = frames.decode(json.dumps(frame))
    assert isinstance(decoded, frames.Desired)
    assert decoded.state.console_ca is None


def test_what_is_wrong_within_it_is_still_refused():
    frame = _desired()
    frame["state"]["configuration"]["nodes"] = {"count": 2}
    with pytest.raises(frames.ProtocolError):
        frames.decode(json.dumps(frame))
    frame["state"]["configuration"] = "text"
    with pytest.raises(frames.ProtocolError):
        frames.decode(json.dumps(frame))


def test_every_frame_of_the_console_that_was_recorded_may_have_more():
    seen = set()
    for path in V1.glob("*.json"):
        transcript = json.loads(path.read_text())
        for line in transcript["lines"] if isinstance(transcript, dict) else []:
            told = line.get("console")
            if told is not None and told["type"] not in ("acknowledge", "welcome"):  # their `stored` has free keys
                assert frames.decode(json.dumps(_with_more(told))).type == told["type"]
                seen.add(told["type"])
    assert seen >= {"challenge", "desired", "farewell", "superseded", "refusal"}


def test_a_person_who_mistypes_a_key_is_told():
    with pytest.raises(InvalidInput) as caught:
        parse_configuration({**CONFIGURATION, "nodez": {}})
    assert caught.value.field_name == "nodez"
