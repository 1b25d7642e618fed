"""A node's own disk is full. A datastore that is full is `provisioning-stalled/insufficient-resources`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, waited_for
from pcg.diagnosis.hops import probe_finding
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.probes.answer import About
from pcg.model.records import Finding
from pcg.model.states import StepName

SCENARIO = "disk-full"
SILENCED_BY: tuple[str, ...] = ()
_CURED = "The kubelet reports that the node has no disk pressure."


def examine(facts: Facts) -> Iterator[Finding]:
    yield from waited_for(facts, SCENARIO, {"node-disk-full": "node-disk-full"}, (StepName.NODES,), _CURED)


LOGS = LogRules(
    causes=(
        Cause(
            name="node-disk-full",
            summary="A node's disk is full.",
            tells="the node's own programs cannot write, or the kubelet reports disk pressure",
            signs=(
                Signature(
                    r"no space left on device|\bENOSPC\b|Errno 28\b|disk quota exceeded|out of disk space"
                    r"|database or disk is full|disk is full|device is full"
                    r"|NodeHasDiskPressure|DiskPressure\W{1,3}(?:status\W{0,3})?True|under disk pressure"
                    r"|node had condition: \W{0,2}DiskPressure|disk usage on (?:image )?filesystem is (?:over|at)"
                    r"|eviction manager: (?:attempting to reclaim|must evict|thresholds? .{0,20}met"
                    r"|unable to evict|pods? .{0,60}evicted).{0,120}(?:ephemeral-storage|nodefs|imagefs|$)"
                    r"|FreeDiskSpaceFailed|ImageGCFailed|failed to garbage collect required amount"
                    r"|low on resource: (?:ephemeral-storage|nodefs|imagefs)"
                    r"|insufficient (?:free )?(?:disk )?space.{0,40}(?:/var|/tmp|on /|root)|not enough free space"
                    r"|(?:/var|/)\S*.{0,20}(?:is )?100% full|write error: .{0,20}no space",
                    unless=r"inotify|fsnotify|inotify_add_watch|cgroup|datastore|vmfs|\.vmdk|HasNoDiskPressure|toleration"
                    r"|memory-pressure|\bmemory\b.{0,20}reclaim|reclaim\W{0,3}\w*\W{0,3}resourceName=.?memory"
                    r"|semaphore|semget|add watch|shmget|/dev/shm|too many watches|keyring|key quota|ipvs",
                ),
            ),
            remedy=(
                "Free space on the node (logs, unused images, /tmp), or enlarge its disk.",
                "Choose a larger size for the nodes if it fills again.",
            ),
            cured_by=(
                Signature(
                    r"NodeHasNoDiskPressure|DiskPressure\W{1,3}(?:status\W{0,3})?False"
                    r"|able to reduce .{0,40}pressure|freed \d+ bytes|disk space (?:was )?freed"
                    r"|\d+% (?:of .{0,20})?free again"
                ),
            ),
            cured=_CURED,
        ),
    ),
    needs=frozenset({Kind.SYSLOG, Kind.KERNEL, Kind.KUBELET, Kind.OUTPUT, Kind.CONTAINER, Kind.OTHER}),
    missing="the machine's syslog, kern.log or the kubelet's journal",
)

KNOWN_BEFORE: Mapping[str, str] = {
    "node-disk-full": "Not: a disk fills later. A node's disk is at least 20 GiB, which is refused while typing.",
}
"""by cause: how it is told before it happens"""


PROBED = (About.DISK,)
CLEAR_WHEN_PASSED = (About.DISK,)


def probed(facts: Facts) -> Iterator[Finding]:
    if full := [answer for answer in facts.probes if answer.about is About.DISK and answer.failed]:
        yield probe_finding(SCENARIO, LOGS, "node-disk-full", full, facts.now)
