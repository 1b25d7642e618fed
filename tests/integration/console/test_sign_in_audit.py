"""Every sign-in, failed sign-in and sign-out is in the audit; of strangers nothing but their address."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from .browsing import anonymous, signed_in
from .conftest import EMAIL, PASSWORD, Console


async def _audited(console: Console, action: str) -> list[dict[str, Any]]:
    await console.service.collapsed.write(everything=True)
    rows = (await console.client.get("/api/v1/audit", params={"limit": 1000})).json()["items"]
    return [row for row in reversed(rows) if row["action"] == action]


async def test_sign_in_and_sign_out(console: Console):
    browser = await signed_in(console)
    answer = await browser.post("/sign-out", await browser.form("/"))
    assert answer.status_code == 303
    assert [row["actor"] for row in await _audited(console, "signed-in")] == [EMAIL]
    assert [row["actor"] for row in await _audited(console, "signed-out")] == [EMAIL]
    # A session that has ended cannot be ended again.
    made = await console.service.accounts.sign_in(EMAIL, PASSWORD)
    for token in (made.token, made.token, "nobody's"):
        await console.service.accounts.sign_out(token)
    assert len(await _audited(console, "signed-out")) == 2


@pytest.mark.parametrize("way", ["page", "api"])
async def test_failed_sign_ins(console: Console, way: str):
    typed = [(EMAIL.upper(), "a wrong guess")] * 12 + [("pa55word typed here", "x")] * 2

    async def fail(email: str, password: str) -> int:
        if way == "page":
            return (await anonymous(console).post("/sign-in", {"email": email, "password": password})).status_code
        async with console.anonymous() as client:
            return (await client.post("/api/v1/keys", json={"name": "x"}, auth=(email, password))).status_code

    codes = [await fail(*each) for each in typed]
    assert codes == [401] * 10 + [429 if way == "page" else 503] * 2 + [401] * 2
    rows = [row["details"] for row in await _audited(console, "sign-in-failed")]
    told: Counter[tuple[str, str | None, str]] = Counter()
    for row in rows:
        told[row["reason"], row.get("email"), row["address"]] += row["count"]
    assert told == {
        ("wrong-password", EMAIL, "127.0.0.9"): 10,
        ("too-many-guesses", EMAIL, "127.0.0.9"): 2,
        ("no-such-user", None, "127.0.0.9"): 2,
    }
    assert "pa55word" not in str(rows)
    assert len(rows) <= 6, "what happened often was told together"
