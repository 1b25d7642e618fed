"""What the gateway makes of a console's no."""

from __future__ import annotations

import httpx
import pytest

from pcg.errors import Busy
from pcg.gateway.bootstrap import _refusal


@pytest.mark.parametrize(("told", "after"), [("5", 5.0), ("²", None), ("soon", None), ("", None)])
def test_how_long_to_wait_is_a_number_or_left_to_us(told: str, after: float | None) -> None:
    answer = httpx.Response(503, headers=[(b"Retry-After", told.encode())], json={"reason": "busy"})
    refused = _refusal("https://console.example.com", answer)
    assert isinstance(refused, Busy)
    assert refused.after == after
