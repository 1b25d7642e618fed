"""A session that stood is cut, and cannot be opened again."""

from __future__ import annotations

from pcg.cli.drilling.drill import Drill, Fault, Kind, Stage, Way


def _network(cause: str, fault: str, way: Way = Way.EDGE, options: tuple[str, ...] = ()) -> Drill:
    return Drill(cause, Kind.NETWORK, Fault(fault, cuts=True), leads_to=Stage.CONNECTED, way=way, options=options)


DRILLS = (
    _network("connection-refused", "edge/relay/refuse"),
    _network("connection-timed-out", "edge/relay/black-hole"),
    _network("proxy-authentication-required", "edge/proxy/password-wrong", Way.PROXY),
    _network("proxy-refused", "edge/proxy/refuse", Way.PROXY),
    _network("certificate-not-trusted", "edge/tls/certificate-other-host"),
    _network("certificate-not-valid-yet", "edge/tls/certificate-not-yet-valid"),
    _network("certificate-expired", "edge/tls/certificate-ended"),
    _network("websocket-blocked", "edge/tls/drop-upgrade", options=("--try-upgrade-after", "5")),
    _network("tls-intercepted", "edge/tls/certificate-other-ca"),
)
