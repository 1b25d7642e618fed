"""What a machine finds on itself is kept on the spot, until it is over."""

from __future__ import annotations

from pathlib import Path

from pcg.clock import SystemClock
from pcg.errors import InvalidInput
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.own_findings import keep_failure, read_findings


def test_what_ends_an_installer_is_kept_and_over_with_the_next_start(tmp_path: Path) -> None:
    keep_failure(tmp_path, InvalidInput("It was mistyped.", reason="pairing-code-mistyped"), SystemClock())
    (finding,) = read_findings(tmp_path).findings
    assert finding.key == ("installer-not-registered", "pairing-code-mistyped")
    keep_failure(tmp_path, InvalidInput("It is missing.", reason="endpoint-missing"), SystemClock())
    kept = read_findings(tmp_path)
    assert [found.key for found in kept.findings] == [("vm-not-in-console", "registration-never-began")]
    assert [closed.finding.key for closed in kept.closed] == [finding.key]


def test_wrong_settings_of_a_gateway_that_was_registered_are_its_own_scenario(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    names = ("gateway_id", "gateway_name", "console_id", "identity_key", "ca", "signing_key", "pairing_key")
    with state.locked():
        state.register(Registration(**dict.fromkeys(names, "x")))
    keep_failure(tmp_path, InvalidInput("The proxy is wrong.", reason="proxy-invalid"), SystemClock())
    (finding,) = read_findings(tmp_path).findings
    assert finding.key == ("gateway-disconnected", "proxy-invalid")
