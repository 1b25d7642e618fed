"""The installer's jet as a real child process: crash-looping while pending, healthy with its token, looping without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcg.clock import SystemClock
from pcg.gateway.identity import Registration, StateDirectory
from pcg.gateway.jet_supervisor import JetSupervisor
from pcg.gateway.store import GatewayStore
from pcg.model.desired import DesiredState
from pcg.sealing.boxes import seal


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def desired(generation: int, **changes: Any) -> DesiredState:
    return DesiredState(**{"generation": generation, "incarnation": 1, "mode": "run", **changes})


async def test_it_follows_the_token(console: Any, tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    changes: list[None] = []
    with state.locked():
        keys, store = state.keys(), GatewayStore(state.database)
        jet = JetSupervisor(endpoint=console.url, state=state, keys=keys, store=store, clock=SystemClock(), speed=50)
        jet.on_change(lambda: changes.append(None))
        running = asyncio.create_task(jet.run())
        await until(lambda: jet.fact().restarts >= 3, "three restarts")
        assert "no authorization token" in jet.fact().words[-1]
        await until(lambda: jet.fact().back_off, "back-off")

        names = {"gateway_id": "g", "gateway_name": "n", "console_id": "c", "identity_key": "k", "pairing_key": "p"}
        state.register(Registration(**names, ca=console.authority.ca, signing_key=keys.public_signing))
        console.jet_token = "right"
        jet.want(desired(2, jet_token=seal(keys.public_sealing, b"right")))
        await until(lambda: jet.fact().ready, "ready")
        assert console.jets[-1]["place"] == "installer"
        assert (state.jet_token.stat().st_mode & 0o777) == 0o600

        # An older desired state changes nothing.
        jet.want(desired(1, mode="idle"))
        assert state.read_jet_token() == b"right"

        # Reset: the token is taken away and the console has revoked it.
        console.jet_token = "revoked"
        jet.want(desired(3, incarnation=2, mode="idle"))
        await until(lambda: jet.fact().back_off and not jet.fact().ready, "back-off after reset")
        assert state.read_jet_token() is None

        # A box that was not sealed to us is told once, and is no crash.
        for generation in (4, 5):
            jet.want(desired(generation, incarnation=2, jet_token="bm90IGEgYm94"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        reasons = [report.event.reason for report in store.pending()[1]]
        assert reasons[:3] == ["JetBackOff", "JetReady", "JetBackOff"]
        assert reasons.count("JetTokenUnreadable") == 1
        assert changes
        store.close()
