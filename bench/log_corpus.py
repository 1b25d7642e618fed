"""Logs as a node of a gateway cluster writes them, most lines about nothing that matters. For `bench_doctor.py`."""

from __future__ import annotations

import random
from collections.abc import Iterator

_PODS = (
    "coredns-5d78c9869d",
    "etcd-node-a",
    "kube-apiserver-node-a",
    "jet-7f9c6d5b8",
    "ingress-6b5f8c",
    "metrics-84c5",
)
_UNITS = ("logrotate", "apt-daily", "fstrim", "man-db", "systemd-tmpfiles-clean", "containerd", "chrony", "ssh")
_VERBS = ("list", "watch", "get", "update", "patch")
_KINDS = ("pods", "nodes", "leases", "configmaps", "endpoints", "secrets", "replicasets")
_TROUBLE = (
    "{syslog} dhclient[712]: No DHCPOFFERS received.",
    '{klog} "Failed to connect to apiserver" err="Get \\"https://192.0.2.9:6443/healthz\\": dial tcp 192.0.2.9:6443:'
    ' connect: no route to host"',
    "{cri} dial tcp: lookup console.example.com on 192.0.2.53:53: no such host",
    "{syslog} chronyd[411]: Selected source 192.0.2.123",
    "{syslog} installer[801]: bootstrap: console-reached: connection refused",
)
"""one line in some thousands"""


def lines(count: int, seed: int = 1) -> Iterator[str]:
    chance = random.Random(seed)
    for number in range(count):
        yield _line(number, chance)


def in_trouble(count: int, seed: int = 1) -> Iterator[str]:
    """Nothing but the same failure, with numbers of its own in each line."""
    chance = random.Random(seed)
    for number in range(count):
        clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
        micro, version = chance.randrange(10**6), chance.randrange(1000)
        stamps = f"Feb  3 {clock} node-a kubelet[1187]: E0203 {clock}.{micro:06d}    1187 reflector.go:147]"
        url = f"https://192.0.2.9:6443/api/v1/nodes?resourceVersion={version}"
        yield f'{stamps} failed to list *v1.Node: Get "{url}": dial tcp 192.0.2.9:6443: connect: connection refused'


def _line(number: int, chance: random.Random) -> str:
    clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    micro, pid = chance.randrange(10**6), chance.randrange(300, 9000)
    stamps = {
        "syslog": f"Feb  3 {clock} node-a",
        "klog": f"Feb  3 {clock} node-a kubelet[1187]: I0203 {clock}.{micro:06d}    1187 kubelet.go:{pid}]",
        "cri": f"2026-02-03T{clock}.{micro:06d}001Z stderr F",
    }
    if chance.randrange(5000) == 0:
        return chance.choice(_TROUBLE).format(**stamps)
    pod, kind, verb = chance.choice(_PODS), chance.choice(_KINDS), chance.choice(_VERBS)
    unit, digest = chance.choice(_UNITS), f"{chance.getrandbits(128):032x}"
    forms = (
        f'{stamps["klog"]} "SyncLoop (PLEG): event for pod" pod="kube-system/{pod}" event={{"ID":"{digest[:12]}"}}',
        f'{stamps["klog"]} "operationExecutor.VerifyControllerAttachedVolume started for volume \\"{digest[:8]}\\""',
        f'{stamps["klog"]} "Observed pod startup duration" pod="kube-system/{pod}" seconds=2.{micro}',
        f'{stamps["cri"]} I0203 {clock}.{micro:06d}       1 trace.go:219] Trace[{pid}]: "{verb}" url:/api/v1/{kind}',
        f'{stamps["cri"]} {{"level":"info","ts":"2026-02-03T{clock}Z","caller":"mvcc/hash.go:137","revision":{pid}}}',
        f'{stamps["cri"]} 192.0.2.{pid % 250} - - "GET /{kind}/{digest[:6]} HTTP/1.1" 200 {micro} "-" "client/1.2"',
        f'{stamps["cri"]} [INFO] 10.244.0.{pid % 250}:{pid} - {pid} "A IN {kind}.default.svc. udp" NOERROR',
        f"{stamps['syslog']} systemd[1]: Starting {unit}.service - rotation and clean-up of {kind}...",
        f"{stamps['syslog']} systemd[1]: {unit}.service: Deactivated successfully.",
        f"{stamps['syslog']} systemd[1]: Finished {unit}.service.",
        f"{stamps['syslog']} CRON[{pid}]: (root) CMD (test -x /usr/sbin/anacron || run-parts /etc/cron.hourly)",
        f'{stamps["syslog"]} containerd[388]: time="2026-02-03T{clock}Z" level=info msg="RemoveContainer for {digest}"',
        f'{stamps["syslog"]} kernel: [{pid}.{micro:06d}] audit: type=1400 apparmor="STATUS" pid={pid} comm="runc"',
        f"{stamps['syslog']} sshd[{pid}]: pam_unix(sshd:session): session closed for user ubuntu",
    )
    return forms[chance.randrange(len(forms))]
