"""An installer that does not become a gateway: what it was given is wrong, or the way to the console is."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind, Stage, Way


def _way(cause: str, fault: str, way: Way = Way.EDGE) -> Drill:
    return Drill(cause, Kind.NETWORK, Fault(fault), when=Stage.START, leads_to=Stage.CONNECTED, way=way)


DRILLS = (
    _way("name-not-resolved", "edge/name-server/name-unknown"),
    _way("connection-refused", "edge/relay/refuse"),
)
