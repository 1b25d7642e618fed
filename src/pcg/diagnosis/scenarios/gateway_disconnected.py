"""A gateway that was registered has lost its session with the console; it goes on working and buffers its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts
from pcg.diagnosis.hops import failed_hop, peer_findings
from pcg.diagnosis.log_context import MILESTONES, towards_console
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_network import network_causes
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About
from pcg.diagnosis.way_causes import way_cause, way_finding
from pcg.model.records import Finding

SCENARIO = "gateway-disconnected"
SILENCED_BY: tuple[str, ...] = ("address-not-assigned",)

_CURES = MILESTONES["session-up"]
_CURED = "The session is up again; buffered events arrive in the console."

LOGS = LogRules(
    causes=(
        Cause(
            name="console-down",
            summary="The console is reached but does not work: the gateway goes on and buffers its events.",
            tells="name, connection and TLS succeed, but the console answers 502, 503 or 504, or closes at once",
            signs=(
                Signature(
                    r"(?:console|palette|hub|session|tunnel|websocket|wss?://).{0,160}(?:\b50[0234]\b|bad gateway"
                    r"|service unavailable|gateway time-?out|internal server error|under maintenance|going away"
                    r"|shutting down)"
                    r"|(?:\b50[0234]\b|bad gateway|service unavailable).{0,120}(?:console|palette|hub|session)",
                    where=towards_console,
                    unless=r"proxy",
                ),
            ),
            remedy=("Nothing is lost: the gateway resumes by itself.", "See whether the console itself runs."),
            cured_by=_CURES,
            cured=_CURED,
            requires=("registered",),
        ),
        *network_causes(towards_console, "the console", _CURES, cured=_CURED, requires=("registered",)),
    ),
    needs=frozenset({Kind.OUTPUT, Kind.CONTAINER, Kind.OTHER}),
    missing="the gateway's own log (cloud-init-output.log of the installer)",
    silenced_by=SILENCED_BY,
)

KNOWN_BEFORE: Mapping[str, str] = {
    **{
        cause.name: "Not: the way stood when the gateway registered. `pcg doctor` asks each hop at any time."
        for cause in LOGS.causes
    },
    "console-down": "Not: the console worked when the gateway registered.",
}
"""by cause: how it is told before it happens"""


def examine(facts: Facts) -> Iterator[Finding]:
    """The trouble of a session that cannot be opened, or goes by polling; a break that heals at once is none."""
    way = facts.way
    if way is None or not way.registered:
        return
    trouble = way.trouble if way.step == "session" else way.by_polling
    if trouble is None:
        return
    name = way_cause(trouble)
    if name == "websocket-blocked" and not way.upgraded:
        return  # told as a hindrance of the way in
    found = way_finding(SCENARIO, LOGS, name, way, trouble)
    if found is not None:
        yield found


PROBED = (About.CONSOLE,)
CLEAR_WHEN_PASSED = (About.CONSOLE,)


def probed(facts: Facts) -> Iterator[Finding]:
    if facts.installer is None or not facts.installer.registered:
        return
    answers_wrongly = {answer.kind for answer in failed_hop(facts, About.CONSOLE)} & {
        "http-unavailable",
        "not-a-console",
    }
    cause = "console-down" if answers_wrongly else ""
    yield from peer_findings(SCENARIO, LOGS, facts, About.CONSOLE, cause=cause, cured=_CURED)
