"""What a probe answers, and how any of them is kept within its time. Used by every probe of this folder.

An answer is never an exception: what the network does, what this process may not do, and a deadline that passed are all
told in it. The scenarios judge by `about`, `probe` and `kind`; people read the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from pcg.diagnosis.probes.failure_kinds import kind_of_error
from pcg.errors import PcgError, Unreachable


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """it could not be asked; `needs` says for want of what"""


class About(StrEnum):
    """Whom or what a probe is about."""

    CONSOLE = "console"
    VCENTER = "vcenter"
    HOSTS = "esxi-hosts"
    IMAGE = "image"
    TIME = "time"
    ADDRESSES = "addresses"
    API_SERVER = "api-server"
    DISK = "disk"


@dataclass(frozen=True)
class ProbeAnswer:
    about: About
    probe: str
    """the hop: name, route, tcp, proxy, tls, http, websocket; or clock, sntp, dhcp, address, readyz"""
    target: str
    """what was asked about, without secrets"""
    answer: Outcome = Outcome.UNKNOWN
    asked: str = ""
    """whom: a name server, a proxy, an address; empty: the target itself"""
    kind: str = ""
    """of failure, in the field's standard terms (`failure_kinds`)"""
    detail: str = ""
    seconds: float = 0.0
    needs: str = ""
    """what it would have needed and did not have"""

    @property
    def failed(self) -> bool:
        return self.answer is Outcome.FAILED

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}

    def passed(self, detail: str, *, asked: str | None = None) -> ProbeAnswer:
        return replace(
            self, answer=Outcome.PASSED, kind="", detail=detail, asked=self.asked if asked is None else asked
        )

    def failing(self, kind: str, detail: str) -> ProbeAnswer:
        return replace(self, answer=Outcome.FAILED, kind=kind, detail=detail)

    def unknown(self, detail: str, *, needs: str = "") -> ProbeAnswer:
        return replace(self, answer=Outcome.UNKNOWN, kind="", detail=detail, needs=needs)


Work = Callable[[ProbeAnswer], Awaitable[ProbeAnswer]]
"""Given the question, an answer without an outcome; gives it back answered."""


async def bounded(question: ProbeAnswer, work: Work, seconds: float, *, silence: str = "no-answer") -> ProbeAnswer:
    """Always an answer, within `seconds`; `silence` is the kind of failure where nothing came until then."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            answer = await work(question)
    except TimeoutError:
        answer = question.failing(silence, f"no answer within {seconds:g} s")
    except Unreachable as error:
        answer = question.failing(kind_of_error(error), in_one_line(error))
    except OSError as error:
        answer = question.failing(kind_of_error(error), f"{type(error).__name__}: {error}")
    except PcgError as error:
        answer = question.unknown(in_one_line(error))
    except Exception as error:  # noqa: BLE001 - a mistake in one probe must not take the others' answers along
        answer = question.unknown(f"the probe itself failed: {error!r}", needs="a report of this mistake")
    return replace(answer, seconds=time.monotonic() - began)


def in_one_line(error: PcgError) -> str:
    """What and evidence, bounded."""
    return " · ".join([error.what, *error.evidence])[:1500]
