"""A session that stood is lost and cannot be opened again: the way is cut, or a restarted gateway does not find it.

Each of these recoveries is complete only when no event was lost.
"""

from __future__ import annotations

from dataclasses import replace

from pcg.cli.drilling.drill import Act, Drill, Fault, Given, Kind, Stage, Way
from pcg.cli.drilling.scene import Scene
from pcg.model.states import StepName


def _network(cause: str, fault: str, way: Way = Way.EDGE, options: tuple[str, ...] = ()) -> Drill:
    return _lost(Drill(cause, Kind.NETWORK, Fault(fault, cuts=True), way=way, options=options))


def _lost(drill: Drill) -> Drill:
    return replace(drill, leads_to=Stage.CONNECTED, nothing_lost=True)


_NAME_UNKNOWN = Fault("edge/name-server/name-unknown")


async def _restart_without_names(scene: Scene) -> None:
    """A gateway that runs keeps the address for as long as the name server said; one that starts has to ask."""
    await _NAME_UNKNOWN.on(scene)
    await scene.give(Given())


async def _restart_with_proxy_typed_twice(scene: Scene) -> None:
    await scene.give(Given(options=("--https-proxy", "http://http://proxy.example.com:3128")))


async def _restart(scene: Scene) -> None:
    await scene.give(Given())


async def _refused_inputs(scene: Scene) -> int:
    return sum("error: " in line for line in scene.screen)


DRILLS = (
    # Here the gateway is at work while it is away, and goes on: what it did is told afterwards.
    Drill(
        "connection-refused",
        Kind.NETWORK,
        Fault("edge/relay/refuse", cuts=True),
        when=StepName.TEMPLATE,
        leads_to=StepName.NODES,
        way=Way.EDGE,
        nothing_lost=True,
    ),
    _network("connection-timed-out", "edge/relay/black-hole"),
    _network("console-down", "edge/tls/no-backend"),
    _lost(
        Drill(
            "name-not-resolved",
            Kind.NETWORK,
            Act(_restart_without_names, _NAME_UNKNOWN.off, _NAME_UNKNOWN.hits),
            way=Way.EDGE,
        )
    ),
    _lost(Drill("proxy-invalid", Kind.INPUT, Act(_restart_with_proxy_typed_twice, _restart, _refused_inputs))),
    _network("proxy-unreachable", "edge/proxy/port-closed", Way.PROXY),
    _network("proxy-authentication-required", "edge/proxy/password-wrong", Way.PROXY),
    _network("proxy-refused", "edge/proxy/refuse", Way.PROXY),
    _network("certificate-not-trusted", "edge/tls/certificate-other-host"),
    _network("certificate-not-valid-yet", "edge/tls/certificate-not-yet-valid"),
    _network("certificate-expired", "edge/tls/certificate-ended"),
    _network("websocket-blocked", "edge/tls/drop-upgrade", options=("--try-upgrade-after", "5")),
    _network("tls-intercepted", "edge/tls/certificate-other-ca"),
)
