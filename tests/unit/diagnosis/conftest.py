"""Where logs are searched by another process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from pcg.diagnosis import log_scan
from pcg.diagnosis.log_searches import SearchProcess


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch) -> list[SearchProcess]:
    """The processes that were started. Each is waited for, so that it searches from the first block on."""
    started = list[SearchProcess]()

    class Awaited:
        @staticmethod
        def start(patterns: Sequence[str], check: Callable[[], None]) -> SearchProcess | None:
            if (process := SearchProcess.start(patterns, check)) is not None:
                started.append(process)
                assert process._answers.poll(30) and process.ready
            return process

    monkeypatch.setattr(log_scan, "SearchProcess", Awaited)
    return started
