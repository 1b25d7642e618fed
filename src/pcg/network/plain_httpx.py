"""httpx without its command line: `from pcg.network.plain_httpx import httpx` wherever the gateway or jet speaks HTTP.

httpx offers a command line of its own when click and rich can be imported, and imports both to find out: 6 MiB and
50 ms that every gateway and every start of jet would pay. None makes that import fail, which httpx allows for.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402

__all__ = ["httpx"]
