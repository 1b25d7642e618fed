"""Reaching a cloud and what is known before anything is made, told apart as every cloud must."""

from __future__ import annotations

import socket

import pytest

from contract.conftest import CloudLab
from pcg.clouds.base import Connection
from pcg.errors import CredentialsRejected, NotFound, Unreachable


async def test_a_wrong_password_is_rejected_as_such(cloud_lab: CloudLab) -> None:
    with pytest.raises(CredentialsRejected) as refused:
        async with cloud_lab.connect(password="not this one"):
            raise AssertionError("nobody gets in with a wrong password")
    assert refused.value.reason == "credentials-rejected"
    assert "not this one" not in str(refused.value.evidence)


async def test_another_certificate_than_the_pinned_one_ends_it_before_the_password(cloud_lab: CloudLab) -> None:
    pinned = ":".join(["AB"] * 32)
    with pytest.raises(Unreachable) as refused:
        async with cloud_lab.connect(thumbprint=pinned):
            raise AssertionError("nobody gets in with a wrong thumbprint")
    assert refused.value.reason == "thumbprint-mismatch"
    assert refused.value.fields["hop"] == "tls"
    assert refused.value.fields["presented"] == cloud_lab.stack.data_center["thumbprint"]


async def test_without_any_trust_a_private_certificate_is_refused(cloud_lab: CloudLab) -> None:
    with pytest.raises(Unreachable) as refused:
        async with cloud_lab.connect(thumbprint=None):
            raise AssertionError("a certificate that nobody vouches for is not trusted")
    assert refused.value.reason == "certificate-untrusted"


async def test_nobody_listening_is_the_hop_connect(cloud_lab: CloudLab) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(Unreachable) as refused:
            async with cloud_lab.connect(address=address):
                raise AssertionError("nobody listens there")
    assert refused.value.fields["hop"] == "connect"


async def test_a_name_that_nobody_knows_is_the_hop_name(cloud_lab: CloudLab) -> None:
    with pytest.raises(Unreachable) as refused:
        async with cloud_lab.connect(address="no-such-host.invalid"):
            raise AssertionError("no such host")
    assert refused.value.fields["hop"] == "name"


async def test_all_is_clear_on_what_is_right(cloud_lab: CloudLab, connection: Connection) -> None:
    checks = await connection.check(cloud_lab.configuration())
    assert checks
    assert [check for check in checks if check.ok is not True] == []


@pytest.mark.parametrize("part", ["datacenter", "cluster", "folder", "datastore", "network"])
async def test_a_wrong_name_is_found_and_said(cloud_lab: CloudLab, connection: Connection, part: str) -> None:
    placement = dict(cloud_lab.stack.data_center["placement"])
    placement[part] = f"{placement[part]}-x"
    problems = [
        check.problem
        for check in await connection.check(cloud_lab.configuration(placement=[placement]))
        if check.ok is False
    ]
    # A wrong datacenter takes others along: the template lies in it too.
    assert problems and all(isinstance(problem, NotFound) for problem in problems)
    assert any(placement[part] in str(problem) for problem in problems)
