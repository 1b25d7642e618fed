"""Each row of the way in has a drill, or stands here with the reason why not; drills name what diagnosis knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pcg.cli.drilling.table import all_drills
from pcg.clock import SystemClock
from pcg.diagnosis.engine import all_scenarios
from pcg.errors import InvalidInput
from pcg.gateway.own_findings import keep_failure, read_findings

WAY_IN = ("installer-not-registered", "gateway-disconnected", "jet-crash-loop", "vm-not-in-console")

_HOURLY = "the upgrade is tried again every hour, so its recovery cannot be shown within a minute"
_JET = "jet's own trouble is not told apart live yet"
WITHOUT = {
    "installer-not-registered/websocket-blocked": _HOURLY,
    "gateway-disconnected/websocket-blocked": _HOURLY,
    "installer-not-registered/artifact-download-failed": "not made yet: needs a console with an artifact mirror",
    "gateway-disconnected/console-down": "not made yet: the edge has no fault that answers 503 in the console's place",
    "gateway-disconnected/proxy-unreachable": "not made yet: the edge's proxy cannot be closed while it runs",
    "gateway-disconnected/name-not-resolved": "the name that was asked before holds for 5 s, and the session is back",
    "gateway-disconnected/proxy-invalid": "a setting, which a gateway that runs has read already",
    "jet-crash-loop/awaiting-configuration": _JET,
    "jet-crash-loop/token-rejected": _JET,
    "jet-crash-loop/console-unreachable": _JET,
    "jet-crash-loop/container-cannot-start": _JET,
}


def _known() -> set[str]:
    modules = {name: cast(Any, module) for name, module in all_scenarios().items()}
    return {f"{name}/{cause.name}" for name, module in modules.items() for cause in module.LOGS.causes}


def test_drills_name_causes_that_diagnosis_knows() -> None:
    assert set(all_drills()) <= _known()


def test_every_row_of_the_way_in_has_a_drill_or_a_reason() -> None:
    rows = {key for key in _known() if key.partition("/")[0] in WAY_IN}
    drilled = {key for key in all_drills() if key.partition("/")[0] in WAY_IN}
    assert rows - drilled == set(WITHOUT)


def test_what_ends_an_installer_is_kept_and_over_with_the_next_start(tmp_path: Path) -> None:
    keep_failure(tmp_path, InvalidInput("It was mistyped.", reason="pairing-code-mistyped"), SystemClock())
    (finding,) = read_findings(tmp_path).findings
    assert finding.key == ("installer-not-registered", "pairing-code-mistyped")
    keep_failure(tmp_path, InvalidInput("It is missing.", reason="endpoint-missing"), SystemClock())
    kept = read_findings(tmp_path)
    assert [found.key for found in kept.findings] == [("vm-not-in-console", "registration-never-began")]
    assert [closed.finding.key for closed in kept.closed] == [finding.key]
