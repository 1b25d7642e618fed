"""Consoles and worlds that a whole file shares: to make one takes longer than most tests of it.

A file says that it shares by `pytestmark = pytest.mark.shared`. Its tests then run in one loop, which lives as long as
they do, and the fixtures beside it give each what they share as if it were new.
"""

from __future__ import annotations

import inspect

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("shared") and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)
