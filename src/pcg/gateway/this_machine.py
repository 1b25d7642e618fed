"""A diagnosis of the machine that it runs on, as it is now: every hop on the way to whomever its installer needs.

All probes run side by side under one deadline; what is not done by then is told as unknown. This machine's logs are
read beside them, in a thread that holds nothing up. Needs no console and no right, and says where one is missing.
Called by `pcg doctor` without a path, and by whoever looks from the machine itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from pcg.bundle.limits import Limits
from pcg.bundle.reading import LogReading, read_logs
from pcg.diagnosis.facts import Facts
from pcg.diagnosis.live_verdict import NO_LOGS, live_verdict
from pcg.diagnosis.log_engine import LogVerdict
from pcg.diagnosis.probes.answer import About, ProbeAnswer, in_one_line
from pcg.diagnosis.probes.threads import in_own_thread
from pcg.errors import InvalidInput, PcgError
from pcg.gateway.machine_knowledge import Given, Knowledge, what_is_given, what_is_known
from pcg.gateway.probe_plan import Part, plan
from pcg.network.interfaces import adapters
from pcg.network.machine_names import MachineLoop, name_servers_of_machine
from pcg.network.name_queries import NameServer
from pcg.network.name_servers import parse_name_servers

SECONDS = 13.0
"""for everything, so that a command that does this ends within 15 s on a machine that reaches nobody"""
STATE_SECONDS = 3.0
LOGS = Path("/var/log")
_FOR_THE_VERDICT = 1.0
"""what is left of the time when the logs' reading ends by itself"""


@dataclass(frozen=True)
class LiveReport:
    verdict: LogVerdict
    probes: Sequence[ProbeAnswer]
    """in the order in which they came"""
    logs: LogReading | None
    """None: none could be read"""
    unread: Sequence[tuple[str, str]]
    """file or folder, and why it could not be read"""
    seconds: float


@dataclass
class _Gathering:
    """What has come until now; complete or not when the time is over."""

    on_answer: Callable[[ProbeAnswer], None]
    known: Knowledge = field(default_factory=Knowledge)
    answers: list[ProbeAnswer] = field(default_factory=list)
    logs: LogReading | None = None
    unread: list[tuple[str, str]] = field(default_factory=list)

    def heard(self, answer: ProbeAnswer) -> None:
        self.answers.append(answer)
        self.on_answer(answer)


async def examine_this_machine(
    given: Given,
    now: datetime,
    *,
    logs: Path | None = LOGS,
    heard: Callable[[ProbeAnswer], None] = lambda answer: None,
    seconds: float = SECONDS,
) -> LiveReport:
    """`heard` is told of each answer as it comes. `logs` None: no log is read. Raises nothing that can be foreseen.

    Run it in a loop of `machine_loop`: the system's own resolver holds a thread for half a minute when nobody answers.
    """
    began = time.monotonic()
    gathering = _Gathering(heard)
    await asyncio.gather(
        _ask(gathering, given, now, logs, seconds),
        _read(gathering, logs, now, seconds) if logs else asyncio.sleep(0),
    )
    known = gathering.known
    facts = Facts(
        now=now,
        way=known.way,
        status=known.status,
        jets=known.jets,
        probes=gathering.answers,
        installer=known.installer,
        vcenter_typed=known.desired.vcenter_typed if known.desired is not None else None,
        drifts=known.cluster.drifts if known.desired is not None and known.desired.mode == "run" else (),
    )
    verdict = live_verdict(facts, gathering.logs.verdict if gathering.logs else NO_LOGS)
    unread = [*known.unread, *gathering.unread, *(gathering.logs.unread if gathering.logs else ())]
    return LiveReport(verdict, gathering.answers, gathering.logs, unread, time.monotonic() - began)


async def _ask(gathering: _Gathering, given: Given, now: datetime, logs: Path | None, seconds: float) -> None:
    ends = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout(STATE_SECONDS):
            gathering.known = await in_own_thread(partial(what_is_known, given, now))
    except TimeoutError:
        gathering.known = what_is_given(given)
        gathering.unread.append((str(given.state), f"it could not be read within {STATE_SECONDS:g} s"))
    servers = _name_servers(gathering)
    loop = asyncio.get_running_loop()
    if isinstance(loop, MachineLoop):
        loop.ask(servers)
    parts = list(plan(gathering.known, given, adapters(), servers, logs, gathering.heard))
    tasks = {asyncio.create_task(part.work): part for part in parts}
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=ends - loop.time())
    for task in late:
        task.cancel()
        gathering.heard(_unfinished(tasks[task], f"not at its end after {seconds:g} s", "more time"))
    for task in done:
        if (mistake := task.exception()) is not None:
            gathering.heard(
                _unfinished(tasks[task], f"the probe itself failed: {mistake!r}", "a report of this mistake")
            )
    if late:
        await asyncio.wait(late, timeout=_FOR_THE_VERDICT)


def _name_servers(gathering: _Gathering) -> tuple[NameServer, ...]:
    """Those that the installer was given, and else this machine's own."""
    typed = gathering.known.start.name_servers if gathering.known.start else None
    try:
        return parse_name_servers(typed) if typed else name_servers_of_machine()
    except InvalidInput as error:
        answer = ProbeAnswer(About.CONSOLE, "settings", "the installer's name servers")
        gathering.heard(answer.failing("name-not-resolved", in_one_line(error)))
        return ()


def _unfinished(part: Part, why: str, needs: str) -> ProbeAnswer:
    return ProbeAnswer(part.about, "the rest", part.target).unknown(why, needs=needs)


async def _read(gathering: _Gathering, logs: Path, now: datetime, seconds: float) -> None:
    limits = Limits(seconds=seconds - 2 * _FOR_THE_VERDICT)
    try:
        async with asyncio.timeout(seconds):
            gathering.logs = await in_own_thread(partial(read_logs, logs, now, limits))
    except TimeoutError:
        gathering.unread.append((str(logs), f"it could not be read within {seconds:g} s"))
    except PcgError as error:
        gathering.unread.append((str(logs), in_one_line(error)[:512]))
    except Exception as error:  # noqa: BLE001 - a mistake in reading logs must not take the probes' answers along
        gathering.unread.append((str(logs), f"reading itself failed: {error!r}"[:512]))
