"""The real console and the real gateway's session of `gateway_console`, for those who attack them."""

from __future__ import annotations

from integration.gateway_console.conftest import console as console
from integration.gateway_console.conftest import make as make
from integration.gateway_console.conftest import way as way
