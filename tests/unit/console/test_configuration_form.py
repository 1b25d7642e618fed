"""The form's fields and the document are the same there and back."""

from __future__ import annotations

from typing import Any

import pytest

from pcg.console.web.configuration_form import document_of, fields_of
from pcg.model.configuration import parse_configuration

DOCUMENT: dict[str, Any] = {
    "cloud": "vsphere",
    "vcenter": {"address": "vc.example.com", "username": "svc"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "node"},
}


@pytest.mark.parametrize(
    "addresses",
    [
        {"dhcp": {"searchDomains": ["a.test", "b.test"]}},
        {"static": {"range": "10.0.0.5-10.0.0.20", "prefix": 24, "gateway": "10.0.0.1"}},
        {"static": {"subnet": "10.0.0.0/26", "gateway": "10.0.0.1", "searchDomains": ["a.test"]}},
        {"static": {"subnet": "fd00::/64", "prefix": 64, "gateway": "fd00::1"}},
    ],
)
def test_addresses_come_through_the_form_as_they_are(addresses: dict[str, Any]) -> None:
    configuration, _ = parse_configuration({**DOCUMENT, "network": {"addresses": addresses}})
    stored = configuration.model_dump(mode="json", by_alias=True)
    again, _ = parse_configuration(document_of(fields_of(stored)))
    assert again == configuration
