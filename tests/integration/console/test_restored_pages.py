"""What the pages of a restored console say of a gateway that has more, and the agreement there."""

from __future__ import annotations

import pytest

from pcg.console.restored import leave_mark
from pcg.model.records import MachineReport
from pcg.model.states import MachineRole, MachineState, Role

from .browsing import Form, signed_in, told, with_role
from .conftest import Console, status

MACHINE = MachineReport(
    name="one-1", role=MachineRole.CONTROL_PLANE, state=MachineState.READY, instance="i", incarnation=1
)


@pytest.fixture
async def gateway_id(console: Console) -> str:
    """Of a gateway that is ahead of this restored console."""
    gateway_id, _ = await console.configured()
    async with console.service.database.write() as session:
        await leave_mark(session, "2026-05-31T12:00:00+00:00", console.service.clock.now())
    await told(console, gateway_id, status(9, machines=[MACHINE]))
    return gateway_id


async def test_an_operator_is_asked_and_told_what_is_lost(console: Console, gateway_id: str):
    browser = await with_role(console, Role.OPERATOR)
    page = (await browser.get(f"/gateways/{gateway_id}")).text
    assert "Console Restored" in page
    assert "(generation 9) than this restored console knows (1)" in page
    assert f"/gateways/{gateway_id}/agree-restored" in page
    refused = await browser.post(f"/gateways/{gateway_id}/reset", await browser.form(f"/gateways/{gateway_id}/reset"))
    assert refused.status_code == 409
    assert "Then agree, on the gateway" in refused.text

    asked = (await browser.get(f"/gateways/{gateway_id}/agree-restored")).text
    for part in ("saved after the backup are lost here", "stays as it is", "2026-05-31 12:00:00 UTC", "one-1"):
        assert part in asked
    answer = await browser.post(f"/gateways/{gateway_id}/agree-restored", Form(asked).fields)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/gateways/{gateway_id}")
    page = (await browser.get(f"/gateways/{gateway_id}")).text
    assert "Console Restored" not in page
    assert "It stays until a configuration is saved here" in page
    again = (await browser.get(f"/gateways/{gateway_id}/agree-restored")).text
    assert "there is nothing to agree to" in again

    answer = await browser.post(f"/gateways/{gateway_id}/reset", await browser.form(f"/gateways/{gateway_id}/reset"))
    assert answer.status_code == 303
    assert "It stays until" not in (await browser.get(f"/gateways/{gateway_id}")).text
    assert (await console.get(gateway_id))["generation"] == 10


async def test_a_viewer_sees_it_and_cannot_agree(console: Console, gateway_id: str):
    browser = await with_role(console, Role.VIEWER)
    page = (await browser.get(f"/gateways/{gateway_id}")).text
    assert "Console Restored" in page
    assert "agree-restored" not in page
    assert (await browser.get(f"/gateways/{gateway_id}/agree-restored")).status_code == 403
    client = await console.as_role(Role.OPERATOR)
    assert (await client.post(f"/api/v1/gateways/{gateway_id}/agree-restored")).json()["agreed_unsaved"] is True
    await client.aclose()


async def test_the_form_needs_its_token(console: Console, gateway_id: str):
    browser = await signed_in(console)
    assert (await browser.post(f"/gateways/{gateway_id}/agree-restored", {})).status_code == 403
    assert (await console.get(gateway_id))["generation"] == 1
    unknown = "/gateways/00000000-0000-4000-8000-000000000000/agree-restored"
    assert (await browser.get(unknown)).status_code == 404
