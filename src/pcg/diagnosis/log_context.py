"""What a line is about (which peer could not be reached, whose pod it is) and how far the gateway had come. Used
by the scenario files: the same words mean different failures towards different peers and at different times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import TypeVar

from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_lines import LogLine
from pcg.diagnosis.log_rules import GUEST, Signature
from pcg.diagnosis.log_search import RareSearch


class Peer(Enum):
    API_SERVER = "the API server"
    VCENTER = "vCenter"
    IMAGE = "the image's source"
    ARTIFACT = "an installation artifact"
    CONSOLE = "the console"
    FOREIGN = "someone else"


_FOREIGN = RareSearch(
    r"\b(?:archive|security|ports|motd|changelogs|api\.snapcraft|esm|entropy|contracts"
    r"|keyserver)\.(?:ubuntu|canonical|io)\b"
    r"|\bdeb\.debian\.org|\bsnapcraft|\.ubuntu\.com|169\.254\.169\.254|metadata\.google|100\.100\.100\.200"
    r"|\b127\.0\.0\.\d+:|\blocalhost:(?!8080)|\[::1\]:|:10250\b|:10248\b|:10257\b|:10259\b|:2379\b|:2380\b"
    r"|:9090\b|:3306\b|:5432\b|:6379\b|:9100\b|:25\b|:587\b"
    r"|\.svc\b|\.svc\.cluster\.local|\bntp\b|\bapt(?:-get)?\b|\b10\.96\.0\.1:443|webhook"
    r"|\bdns\.\S+|smtp|ldap|prometheus|grafana",
)
_OTHER_PROGRAMS = re.compile(
    r"sshd|sudo|su|cron|systemd-logind|snapd|packagekitd|fwupd\w*|unattended-upgrades?|rsyslogd|dbus-daemon|apt\S*|etcd",
    re.I,
)
_API = RareSearch(
    r":6443\b|localhost:8080\b|/healthz\?timeout|\bapi-?server\b|control-?plane ?endpoint|bootstrap-kubelet"
)
_IMAGE = RareSearch(
    r"\.(?:ova|ovf|vmdk|qcow2)\b|/nfc/|\bnfc\b|\b(?:node|template|os|vm|base|ova) image\b"
    r"|\bimage (?:url|bucket|source|download)"
    r"|ovf import|import(?:ing)? ov[af]|spectro-?images|image-?builder"
    r"|download(?:ing)? (?:the )?(?:ova|ovf|template|image)\b",
)
_VCENTER = RareSearch(r"/sdk\b|/rest/com/vmware|v-?center|v-?sphere|govm?omi|vim25|\bvcsa?\b|https//")
_ARTIFACT = RareSearch(
    r"artifact|release[- ]manifest|\.(?:tgz|tar(?:\.[gx]z)?|deb|rpm|whl|zip|run)\b|/v2/|docker\.io"
    r"|quay\.io|gcr\.io|ghcr\.io"
    r"|registry|pull(?:ing)? (?:and unpack )?image|image pull|download(?:ing|ed)? \S+|connection information"
    r"|(?:curl|wget).*\.(?:sh|bin)\b|\bchecksum mismatch",
)
_CONSOLE = RareSearch(
    r"\bconsole\b|palette|hubble|pairing|\bregister(?:ing|ed)?\b|registration|bootstrap: "
    r"|\bendpoint\b|\btunnel\b|wss?://"
    r"|rancher|/ping is not accessible|heartbeat|\bsession\b|/api/v1/(?:register|gateways?|pair"
    r"|session|poll|jet)|/v1/(?:auth|edge|pcg)"
    r"|management plane|cacerts checksum|spectrocloud\.com|\bhub\b",
)
_CONSOLE_RATHER = RareSearch(r"palette|pairing|registration|wss?://|/ping is not")
_CLIENT = RareSearch(
    (
        r"curl: \(\d+\)|\bwget\b|unable to resolve|openssl|verify error|urlopen|requests\.exceptions"
        r"|httpx|HTTPSConnectionPool"
    ),
)
_JET = re.compile(r"(?:^|[^a-z0-9])jet(?:-[a-z0-9]+)*(?:[^a-z0-9]|$)", re.I)
_POD_OF_LINE = re.compile(r'\bpod(?:s)?="?(?P<quoted>[\w./-]+)|pod=(?P<plain>[\w.-]+)_|container=(?P<container>[\w-]+)')


_Answer = TypeVar("_Answer")


def _once(ask: Callable[[LogLine], _Answer]) -> Callable[[LogLine], _Answer]:
    """Of each line it is asked once, however many signatures want to know."""

    @wraps(ask)
    def answer(line: LogLine) -> _Answer:
        if ask not in line.known:
            line.known[ask] = ask(line)
        found: _Answer = line.known[ask]
        return found

    return answer


@_once
def peer_of(line: LogLine) -> Peer | None:
    """Whom a failed connection was meant for; None where nothing tells."""
    text = line.message
    if line.file.pod and is_jet_pod(line):
        return Peer.CONSOLE
    if _OTHER_PROGRAMS.fullmatch(line.program.rpartition("/")[2]):
        return Peer.FOREIGN
    if line.search(_API) and not line.search(_IMAGE):
        return Peer.API_SERVER
    if line.search(_IMAGE):
        return Peer.IMAGE
    if line.search(_VCENTER):
        return Peer.VCENTER
    if "bootstrap: " in text and not re.search(r"bootstrap: (?:artifacts|release-manifest)", text):
        return Peer.CONSOLE
    if line.search(_FOREIGN):
        return Peer.FOREIGN
    if line.search(_ARTIFACT) and not line.search(_CONSOLE_RATHER):
        return Peer.ARTIFACT
    if line.search(_CONSOLE):
        return Peer.CONSOLE if line.kind is not Kind.KUBELET else None
    if line.kind is Kind.OUTPUT and line.search(_CLIENT):
        return Peer.CONSOLE
    return None


def towards_console(line: LogLine) -> bool:
    return peer_of(line) is Peer.CONSOLE and not is_jet_pod(line)


def towards_vcenter(line: LogLine) -> bool:
    return peer_of(line) is Peer.VCENTER


def towards_image(line: LogLine) -> bool:
    return peer_of(line) is Peer.IMAGE


def towards_artifact(line: LogLine) -> bool:
    return peer_of(line) is Peer.ARTIFACT and line.kind in GUEST and line.kind is not Kind.KUBELET


def towards_api_server(line: LogLine) -> bool:
    return peer_of(line) is Peer.API_SERVER


@_once
def is_jet_pod(line: LogLine) -> bool:
    """A line of a container of jet's own pod."""
    return bool(_JET.search(line.file.pod) or line.file.container == "jet") and bool(line.file.pod)


@_once
def about_jet(line: LogLine) -> bool:
    """A line in which the kubelet, or an event, speaks of jet's pod: another pod's crash loop is not jet's."""
    named = [name for found in _POD_OF_LINE.finditer(line.message) for name in found.groups() if name]
    if named:
        return any(_JET.search(name.rpartition("/")[2]) for name in named)
    return bool(_JET.search(line.message))


_CONTROLLERS = re.compile(
    r"cap[iv]|vsphere|pcg|gateway|jet|palette|spectro|hubble|cluster|cloud|install|manager|controller|kube-", re.I
)


@_once
def of_the_gateway(line: LogLine) -> bool:
    """The machine itself, the gateway, or a controller of its cluster: not some application's pod."""
    return not line.file.pod or bool(_CONTROLLERS.search(f"{line.file.namespace}/{line.file.pod}"))


MILESTONES: dict[str, tuple[Signature, ...]] = {
    "registration-began": (
        Signature(
            r"bootstrap: (?:network|time|console-reached|registered)|registering (?:with|at|to|this|the"
            r"|gateway|installer)"
            r"|(?:attempt(?:ing)?|try(?:ing)?) to register|register(?:ed)? (?:as|with) "
            r"|registration (?:request|attempt|started)"
            r"|Registration of |POST \S*/register|connecting to (?:the )?(?:console|palette)",
            unless=r"waiting (?:for|to)|not registered yet|never|no registration|kubelet|node",
        ),
    ),
    "registered": (
        Signature(
            r"bootstrap: registered: done|registered (?:as )?(?:the )?gateway|registration (?:succeeded"
            r"|successful|complete|done|accepted)"
            r"|successfully registered (?:with|as|to|gateway|installer)|gateway \S+ (?:is |was )?registered"
            r"|installer (?:is |was )?registered|jet registered with",
            unless=r"not (?:yet )?registered|registered node",
        ),
    ),
    "session-up": (
        Signature(
            r"session with the console is up|session (?:is )?(?:established|open(?:ed)?|resumed|up)\b"
            r"|tunnel (?:is )?(?:established|connected|up)"
            r"|(?:re)?connected to (?:the )?(?:console|palette|hub)|connection to (?:the )?(?:console"
            r"|palette|hub) (?:re-?)?(?:established|restored)"
            r"|(?:websocket|long.poll\w*) (?:is )?connected",
            unless=r"not connected|dis-?connected|\bstep\b",
        ),
    ),
    "configured": (
        Signature(
            r"validate-configuration\W+(?:is )?done|configuration (?:received|accepted|applied)"
            r"|desired state (?:received|generation)"
            r"|step jet-registered|jet-installed",
        ),
    ),
    "jet-registered": (
        Signature(
            r"jet-registered\W+(?:is )?(?:done|reached)|gateway (?:is )?(?:now )?running|state (?:is "
            r"|changed to )?running"
        ),
    ),
    "template-done": (
        Signature(
            r"(?:step )?template\W+(?:is )?done|template \S+ (?:is |was )?(?:imported|ready"
            r"|already exists)|image (?:was )?deployed"
            r"|successfully (?:deployed|imported) (?:the )?(?:image|template|ova)|step machines\b"
            r"|machines: running|clon(?:ed|ing) (?:of )?(?:the )?(?:virtual )?machine"
            r"|clon(?:ed|ing) (?:vm|template)|VSphereMachine|VSphereVM|created virtual machine|bootstrap vm",
            unless=r"error cloning|fail",
        ),
    ),
    "booted": (Signature(r"cloud-init v\. \S+ finished", kinds=frozenset({Kind.OUTPUT, Kind.CLOUD_INIT})),),
    "has-address": (
        Signature(
            r"DHCPACK (?:of|from)|bound to \d|DHCPv4 address \d"
            r"|ci-info: \| *(?!lo\b)[a-z]\w+ *\| *True *\| *\d+\.\d+\.\d+\.\d+"
            r"|address \S+ assigned|has address \d|acquired IP|IP address (?:assigned|is) ",
            kinds=GUEST,
        ),
    ),
}
"""name: what shows that it was reached"""
