"""An installer that does not become a gateway: what it was given is wrong, or the way to the console is."""

from __future__ import annotations

import asyncio
import hashlib
import socket

from pcg.cli.demo_stack import Stack
from pcg.cli.drilling.drill import Act, Drill, Fault, Given, Kind, Stage, Way, WrongInput
from pcg.cli.drilling.scene import Scene
from pcg.clouds.lab.edge.edge import ARTIFACTS, OWN_CA
from pcg.clouds.lab.edge.process import PORTS
from pcg.errors import PcgError
from pcg.sealing import pairing_code

_CODE_SECONDS = 15.0
"""for which a code is good where one shall expire: a new one must yet reach its installer in time"""

_FIRST_SECONDS = 30.0
"""within which the installer that uses a code up has registered"""


async def _slash(scene: Scene) -> Given:
    return Given(endpoint=f"{scene.stack.console_url}/")


async def _twice(scene: Scene) -> Given:
    return Given(endpoint=f"https://{scene.stack.console_url}")


async def _swapped(scene: Scene) -> Given:
    """Two neighbours that differ are typed in the wrong order."""
    code = scene.code
    place = next(
        place
        for place in range(len(code) - 1)
        if code[place].isalnum() and code[place + 1].isalnum() and code[place] != code[place + 1]
    )
    return Given(code=code[:place] + code[place + 1] + code[place] + code[place + 2 :])


async def _of_nobody(scene: Scene) -> Given:
    return Given(code=pairing_code.generate())


async def _aged(scene: Scene) -> Given:
    """It lies about for longer than it is good for; what is right afterwards is a new one."""
    old = scene.code
    await asyncio.sleep(_CODE_SECONDS + 1)
    return Given(code=old)


async def _new_code(scene: Scene) -> Given:
    made = await scene.console.call("POST", f"/gateways/{scene.gateway_id}/pairing-code")
    return Given(code=str(made["pairing_code"]))


async def _used(scene: Scene) -> Given:
    """Another installer had it first."""
    name = {"name": f"first-{scene.gateway_id[:8]}", "cloud": "simulated"}
    created = await scene.console.call("POST", "/gateways", name)
    first = Stack(cloud="simulated", speed=1, folder=scene.stack.folder / "first")
    first.console_url, first.ca_pin = scene.stack.console_url, scene.stack.ca_pin
    told: list[str] = []
    first.watch(lambda part, line: told.append(line))
    try:
        await first.start_installer(created["pairing_code"])
        if not await scene.until(lambda: any("registered as" in line for line in told), _FIRST_SECONDS):
            raise PcgError("the first installer did not register with the code that was to be used up")
    finally:
        await first.close()
    return Given(code=str(created["pairing_code"]))


async def _pin_of_another(scene: Scene) -> Given:
    return Given(options=("--ca-pin", "sha256:" + hashlib.sha256(scene.gateway_id.encode()).hexdigest()))


async def _proxy_at_a_closed_port(scene: Scene) -> Given:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Given(options=("--https-proxy", f"http://127.0.0.1:{probe.getsockname()[1]}"))


async def _proxy_typed_twice(scene: Scene) -> Given:
    return Given(options=("--https-proxy", "http://http://proxy.example.com:3128"))


_FORBIDDEN = Fault("edge/artifacts/forbidden")


async def _forbid_artifacts(scene: Scene) -> None:
    """The host beside the console has a certificate of the edge's own CA, which the installer is told to trust."""
    ca = scene.stack.folder / "data-center" / "edge" / OWN_CA
    scene.given = Given(options=("--proxy-ca-file", str(ca)))
    await _FORBIDDEN.on(scene)


def _input(cause: str, trouble: WrongInput, *, notice: bool = False) -> Drill:
    return Drill(cause, Kind.INPUT, trouble, when=Stage.START, leads_to=Stage.CONNECTED, notice=notice)


def _network(cause: str, fault: str, way: Way = Way.EDGE, options: tuple[str, ...] = ()) -> Drill:
    trouble = Fault(fault)
    return Drill(cause, Kind.NETWORK, trouble, when=Stage.START, leads_to=Stage.CONNECTED, way=way, options=options)


DRILLS = (
    _input("endpoint-trailing-slash", WrongInput(_slash, "a trailing slash was taken off"), notice=True),
    _input("endpoint-invalid", WrongInput(_twice, "The console's endpoint is wrong")),
    _input("pairing-code-mistyped", WrongInput(_swapped, "The pairing code was mistyped")),
    Drill(
        "pairing-code-expired",
        Kind.INPUT,
        WrongInput(_aged, refused="pairing-code-expired", right=_new_code),
        when=Stage.START,
        leads_to=Stage.CONNECTED,
        console=("--code-hours", f"{_CODE_SECONDS / 3600:f}"),
    ),
    _input("pairing-code-used", WrongInput(_used, refused="pairing-code-used")),
    _input("pairing-code-unknown", WrongInput(_of_nobody, refused="pairing-code-unknown")),
    _input("proxy-unreachable", WrongInput(_proxy_at_a_closed_port, "no connection to the proxy")),
    _input("proxy-invalid", WrongInput(_proxy_typed_twice, "error: ")),
    _network("name-not-resolved", "edge/name-server/name-unknown"),
    _network("connection-refused", "edge/relay/refuse"),
    _network("connection-timed-out", "edge/relay/black-hole"),
    Drill(
        "artifact-download-failed",
        Kind.NETWORK,
        Act(_forbid_artifacts, _FORBIDDEN.off, _FORBIDDEN.hits),
        when=Stage.START,
        leads_to=Stage.CONNECTED,
        way=Way.EDGE,
        console=("--artifact-mirror", f"https://{ARTIFACTS}:{PORTS.artifacts}"),
    ),
    _network("registration-overdue", "edge/relay/slow", options=("--overdue-after", "1")),
    _network("proxy-authentication-required", "edge/proxy/password-wrong", Way.PROXY),
    _network("proxy-refused", "edge/proxy/refuse", Way.PROXY),
    _input("certificate-not-trusted", WrongInput(_pin_of_another, "expected: sha256:")),
    _network("certificate-not-valid-yet", "edge/tls/certificate-not-yet-valid"),
    _network("certificate-expired", "edge/tls/certificate-ended"),
    _network("websocket-blocked", "edge/tls/drop-upgrade", options=("--try-upgrade-after", "5")),
    _network("tls-intercepted", "edge/proxy/intercept-tls", Way.PROXY),
)
