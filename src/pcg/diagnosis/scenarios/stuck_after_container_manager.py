"""Nothing happens after `Created container manager` (seed): the image's source, the template folder, or the
transfer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pcg.diagnosis.facts import Facts, finding_of
from pcg.diagnosis.hops import peer_findings
from pcg.diagnosis.log_context import of_the_gateway, towards_image
from pcg.diagnosis.log_files import Kind
from pcg.diagnosis.log_network import ANY_FAILURE
from pcg.diagnosis.log_rules import Cause, LogRules, Signature
from pcg.diagnosis.missing_privileges import is_for_import, privilege_remedy, privilege_summary
from pcg.diagnosis.probes.answer import About
from pcg.model.records import Finding
from pcg.model.states import StepName

SCENARIO = "stuck-after-container-manager"
SILENCED_BY: tuple[str, ...] = ()


def examine(facts: Facts) -> Iterator[Finding]:
    for step, problem in facts.problems(StepName.PREFLIGHT, StepName.TEMPLATE):
        url = problem.fields.get("url", "")
        if problem.reason == "image-transfer-interrupted":
            cause, summary = "image-transfer-interrupted", problem.what
            cured = "The transfer that has begun again comes to its end, and the step template is done."
            remedy = problem.remedy
        elif is_for_import(problem.fields):
            cause, summary = "template-folder-permission", privilege_summary(problem.fields)
            cured = "The account may import, and the step template is done."
            remedy = [privilege_remedy(problem.fields), *problem.remedy]
        elif url:
            cause, summary = "image-source-unreachable", f"The node image cannot be fetched from {url}."
            cured = "The image is fetched at the next try and the step template is done."
            path = (
                f"Open the path from the private cloud to {url} (name, firewall, proxy), or give another image source."
            )
            remedy = [path, *problem.remedy]
        else:
            continue
        yield finding_of(SCENARIO, cause, step, problem, summary=summary, cured=cured, remedy=remedy)
        return


_CURES = (
    Signature(
        (
            r"step template\W+(?:is )?done|template: done|(?:template|image|ova|import|upload"
            r"|download)\b.{0,80}(?:imported|completed|complete\b|succeeded|finished|ready|deployed)"
            r"|successfully (?:imported|downloaded|uploaded|deployed)|100 ?%"
            r"|resumed (?:the )?download .{0,60}done"
        ),
        unless=r"not (?:yet )?(?:ready|complete)|fail|incomplete|error",
    ),
)
_CURED = "The image is in the template folder and the step template is done."

LOGS = LogRules(
    causes=(
        Cause(
            name="template-folder-permission",
            summary="The account may not use the folder of templates.",
            tells="a privilege that is missing on the template folder, or for importing into it",
            signs=(
                Signature(
                    r"(?:spectro-templates|template ?folder|folder.{0,40}template|import(?:ing)? (?:ov[af]|vapp"
                    r"|spec|template)|ImportVApp|VApp\.Import|deploy(?:ing)? (?:ovf"
                    r"|template)).{0,300}(?:permission\b.{0,40}denied|does not have privilege|NoPermission"
                    r"|not (?:authorized|permitted|allowed)|lacks?\b|access (?:was )?denied|privileges?\b)"
                    r"|(?:permission\b.{0,40}denied|does not have privilege|NoPermission|lacks? (?:the )?privilege"
                    r"|missing privilege).{0,300}(?:spectro-templates|template ?folder|VApp\.Import|ImportVApp"
                    r"|folder.{0,20}template)|unable to find template by name",
                    unless=r"/etc/|/var/|mkdir|open /",
                ),
            ),
            remedy=(
                (
                    "Give the account's role the named privilege on the template folder (VApp.Import, "
                    "Datastore.AllocateSpace …), propagating."
                ),
                "Check that the folder exists and holds the template.",
            ),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="image-transfer-interrupted",
            summary="The transfer of the node image was interrupted.",
            tells="a lease that was aborted, or a connection closed part-way; how far it came",
            signs=(
                Signature(
                    r"unexpected nfc lease state|nfc lease\b.{0,80}(?:abort|error|timed out|expired|lost)"
                    r"|lease\b.{0,60}(?:aborted|in (?:an? )?error state)|HttpNfcLease\w*.{0,60}(?:abort|error"
                    r"|timeout)|failed to upload|(?:upload|download|transfer|copy)(?:ing)?\b.{0,200}(?:interrupted"
                    r"|aborted|closed|reset by peer|unexpected EOF|broken pipe|incomplete|stopped at|cut off"
                    r"|short read|deadline exceeded)"
                    r"|\.(?:ova|vmdk|ovf|qcow2)\b.{0,160}(?:unexpected EOF|connection reset|broken pipe"
                    r"|service unavailable|interrupted|aborted|IncompleteRead|transfer closed|deadline exceeded)"
                    r"|transfer closed with \d+ bytes remaining|IncompleteRead|(?:received|read"
                    r"|got) (?:only )?\d+ (?:bytes )?(?:of|out of|expected) \d+.{0,40}(?:ova|vmdk|image|bytes)",
                    unless=r"bootstrap: artifacts|\bapt\b|journal|rsyslog|kube-node-lease|failed to (?:update"
                    r"|ensure) lease|leases?/|pull(?:ing)? (?:and unpack )?image|layer|blob|sha256:",
                ),
            ),
            remedy=(
                "Nothing at first: import starts again by itself, a download resumes where it stopped.",
                (
                    "If it comes back: open TCP 443 to the ESXi hosts too, and look for a proxy or firewall with "
                    "a time or size limit."
                ),
            ),
            cured_by=_CURES,
            cured=_CURED,
        ),
        Cause(
            name="image-source-unreachable",
            summary="The node image cannot be fetched from its source.",
            tells="what the image's URL answered, or which hop fails; an import also needs the ESXi hosts on port 443",
            signs=(
                Signature(ANY_FAILURE, where=towards_image),
                Signature(
                    r"(?:image|template|ova)\b.{0,200}(?:HTTP(?:/\S+)? (?:status )?[45]\d\d|\b(?:403|404|410"
                    r"|50[0234])\b|AccessDenied|NoSuchKey|NoSuchBucket|forbidden|not found at|cannot be fetched"
                    r"|could not be (?:fetched|downloaded)|cannot be downloaded)|(?:failed|unable|could not"
                    r"|cannot) (?:to )?(?:download|fetch|pull|get|read|access) .{0,60}(?:\bova\b|\bovf\b|vmdk"
                    r"|node image|template|image (?:url|bucket|from))"
                    r"|\.(?:ova|ovf|vmdk|qcow2)\b.{0,160}(?:\b(?:40[0-9]|410|50[0234])\b|not found|forbidden"
                    r"|denied|failed)",
                    unless=r"privilege|permission|failed to pull image|pull image|kubelet|container image|ErrImage"
                    r"|by name|checksum|govm?omi",
                ),
            ),
            remedy=(
                "Open the path from the installer to the image's URL (name, proxy, firewall).",
                "Open TCP 443 to the ESXi hosts, which an import needs beside vCenter.",
                "Or give another image source.",
            ),
            cured_by=_CURES,
            cured=_CURED,
        ),
    ),
    needs=frozenset({Kind.CONTAINER, Kind.OUTPUT, Kind.OTHER}),
    speakers=of_the_gateway,
    missing="the gateway's own log, or the container logs of the cluster's controllers",
    silenced_by=("image-deploy-failed",),
    open_end=Signature(r"created container manager"),
)

KNOWN_BEFORE: Mapping[str, str] = {
    "template-folder-permission": "In preflight: privileges on the folder are asked for with the others.",
    "image-transfer-interrupted": "Not: it happens on the way.",
    "image-source-unreachable": (
        "While typing: the URL is well-formed. In preflight: the image's first bytes are fetched, and the "
        "ESXi hosts are asked on 443 where an import needs them."
    ),
}
"""by cause: how it is told before it happens"""


PROBED = (About.IMAGE, About.HOSTS)
CLEAR_WHEN_DONE = StepName.TEMPLATE


def probed(facts: Facts) -> Iterator[Finding]:
    """The image's own source first: without it no host is needed yet."""
    for about in PROBED if not facts.done(StepName.TEMPLATE) else ():
        for finding in peer_findings(SCENARIO, LOGS, facts, about, cause="image-source-unreachable", cured=_CURED):
            yield finding
            return
