"""What a standing cluster cannot become."""

from __future__ import annotations

from typing import Any

import pytest

from pcg.model.cluster_changes import fixed_parts, refused_change
from pcg.model.configuration import Configuration, parse_configuration

DOCUMENT: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.64.0.2", "username": "svc"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "n"}],
    "template": {"image": "node"},
    "nodes": {"count": 1, "size": "small"},
    "network": {"controlPlaneAddress": "127.64.0.9"},
}


def configuration(count: int = 1, **network: Any) -> Configuration:
    document = {
        **DOCUMENT,
        "nodes": {"count": count, "size": "small"},
        "network": {"controlPlaneAddress": "127.64.0.9", **network},
    }
    return parse_configuration(document)[0]


def test_more_nodes_and_the_same_again_are_fine() -> None:
    fixed = fixed_parts(configuration())
    assert refused_change(1, fixed, configuration()) is None
    assert refused_change(1, fixed, configuration(3)) is None
    assert refused_change(3, fixed, configuration(3)) is None


def test_fewer_nodes_are_refused_with_the_reason() -> None:
    refused = refused_change(3, fixed_parts(configuration(3)), configuration(1))
    assert refused is not None
    assert refused.field == "nodes.count"
    assert "quorum" in refused.why


@pytest.mark.parametrize(
    ("field", "value"),
    [("controlPlaneAddress", "127.64.0.8"), ("podCidr", "172.20.0.0/16"), ("serviceCidr", "10.112.0.0/12")],
)
def test_what_every_certificate_names_stays(field: str, value: str) -> None:
    refused = refused_change(1, fixed_parts(configuration()), configuration(**{field: value}))
    assert refused is not None
    assert refused.field == f"network.{field}"
    assert value in refused.why


def test_what_is_not_known_of_an_older_memory_does_not_stand_in_the_way() -> None:
    assert refused_change(1, {}, configuration(podCidr="172.20.0.0/16")) is None


def test_another_size_or_image_needs_a_shared_address() -> None:
    alone = {**DOCUMENT, "network": {}}
    before = parse_configuration(alone)[0]
    larger = {"nodes": {"count": 1, "size": "large"}}
    for change, field in ((larger, "nodes.size"), ({"template": {"image": "newer"}}, "template.image")):
        refused = refused_change(1, fixed_parts(before), parse_configuration(alone | change)[0])
        assert refused is not None
        assert refused.field == field
        assert "controlPlaneAddress" in refused.why
        shared = parse_configuration(DOCUMENT | change)[0]
        assert refused_change(1, fixed_parts(configuration()), shared) is None
