"""What can go wrong with a node image, in the words of the contract: source, content, transfer, checksum.

Used by the files that import it (`images.py` and those it calls). Only errors about the source carry the field `url`:
by it the diagnosis knows that the image cannot be fetched.
"""

from __future__ import annotations

from collections.abc import Sequence

from pcg.errors import Conflict, GiveUp, PcgError, TryAgain, Unreachable
from pcg.model.configuration import shown_url


def source_unreachable(image: str, hop: str, evidence: Sequence[str], remedy: str = "") -> Unreachable:
    where = shown_url(image)
    return Unreachable(
        f"The node image cannot be fetched from {where}.",
        reason="image-source-unreachable",
        evidence=[f"tried: {where}", *evidence],
        remedy=[remedy or f"Let this machine (or its proxy) fetch {where}, or give another image source."],
        fields={"url": where, "hop": hop, "target": where},
    )


def interrupted(image: str, came_to: int, total: int | None, evidence: Sequence[str], **fields: str) -> TryAgain:
    """The transfer began and broke; nothing of it is kept, and the next try starts over."""
    return TryAgain(
        f"The transfer of the node image was interrupted after {amount(came_to, total)}.",
        reason="image-transfer-interrupted",
        evidence=[f"image: {shown_url(image)}", *evidence],
        remedy=["It starts again by itself. If it keeps breaking, look at what stands on the way at the named host."],
        fields={
            "image": shown_url(image),
            "bytes": str(came_to),
            "total": "" if total is None else str(total),
            **fields,
        },
    )


def unusable(image: str, why: str) -> GiveUp:
    return GiveUp(
        f"The node image is not an OVA that can be imported: {why}.",
        reason="image-malformed",
        evidence=[f"image: {shown_url(image)}", why],
        remedy=["Give an OVA: a tar archive with the OVF descriptor first, then the manifest, then the disks."],
        fields={"image": shown_url(image)},
    )


def refused(image: str, messages: Sequence[str]) -> GiveUp:
    return GiveUp(
        "vCenter cannot import the node image: " + (messages[0] if messages else "it gave no reason."),
        reason="image-refused",
        evidence=[f"image: {shown_url(image)}", *(f"vCenter answered: {message}" for message in messages[:10])],
        remedy=["Give an image that fits this vCenter and its hosts (hardware version, controllers)."],
        fields={"image": shown_url(image)},
    )


def checksum_wrong(image: str, what: str, wanted: str, found: str) -> GiveUp:
    return GiveUp(
        f"{what} is not the wanted one: its checksum differs. Nothing of it was kept.",
        reason="image-checksum-wrong",
        evidence=[f"image: {shown_url(image)}", f"expected: {wanted}", f"found:    {found}"],
        remedy=[
            "Compare template.sha256 with the sum that the image's publisher gives; fetch the image anew if it fits."
        ],
        fields={"image": shown_url(image), "wanted": wanted, "found": found},
    )


def host_unreachable(host: str, port: int, hop: str, why: str, reason: str = "") -> Unreachable:
    """The disks go straight to a host of the cluster, or to the vCenter; `hop` is name, connect, tls or http."""
    return Unreachable(
        f"The node image cannot be sent to {host} at port {port}: the hop {hop} failed.",
        reason=reason or "upload-host-unreachable",
        evidence=[f"tried: {host}:{port}", why],
        remedy=[f"Let this machine connect to {host} at port {port} (TCP): an import sends the disks to that host."],
        fields={"hop": hop, "target": f"{host}:{port}", "host": host, "port": str(port)},
    )


def name_occupied(name: str, where: str) -> Conflict:
    return Conflict(
        f"A machine of somebody else has the name {name}, which the import needs.",
        reason="name-taken",
        evidence=[f"found in {where}, without the mark of an import of ours"],
        remedy=[f"Rename or remove {name} in vCenter."],
        fields={"name": name, "folder": where},
    )


def with_attempt(error: PcgError, attempt: int) -> PcgError:
    error.fields["attempt"] = str(attempt)
    error.evidence.append(f"attempt: {attempt}")
    return error


def amount(done: int, total: int | None) -> str:
    """`412 of 1,536 MiB`; small ones in bytes."""
    if total is not None and total < 10 << 20:
        return f"{done:,} of {total:,} bytes"
    mebibytes = f"{done >> 20:,}"
    return f"{mebibytes} MiB" if total is None else f"{mebibytes} of {total >> 20:,} MiB"
