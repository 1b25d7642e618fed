"""Redacts an archive, folder or file of logs that exists, whoever made it: `pcg bundle redact FILE`.

It is read as `pcg doctor` reads it (`members.py`: bounded, no link followed, nothing unpacked to disk) and written as a
bundle of ours, beside it and never in its place. With pseudonyms it is read twice: a machine's name may stand alone in
a line long before the one that tells that it is a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pcg.bundle.collecting import Bundle
from pcg.bundle.limits import Budget, LimitReached, Limits
from pcg.bundle.manifest import DOCUMENTS, NAME
from pcg.bundle.members import MemberReader, Unread
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.redaction import Redactor
from pcg.bundle.text import text_blocks
from pcg.bundle.writing import BundleWriter
from pcg.errors import InvalidInput

_ALL_SECRET = re.compile(
    r"(?:^|/)(?:user-data(?:\.txt(?:\.i)?)?|vendor-data(?:\.txt)?|cloud-config\.txt|shadow-?|gshadow|htpasswd|\.netrc|\.git-credentials"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|ssh_host_\w+_key|\.dockerconfigjson|[^/]*\.(?:key|p12|pfx|jks|kdbx|kubeconfig)"
    r"|kubeconfig|(?:admin|kubelet|controller-manager|scheduler|super-admin)\.conf|keys\.json)$",
    re.IGNORECASE,
)
"""files that are a secret as a whole, or nearly"""

_ENDINGS = re.compile(r"(?:\.tar)?(?:\.(?:tgz|gz|xz|bz2|tar|zip))?$")


def redact_archive(
    path: Path,
    now: datetime,
    *,
    pseudonyms: Pseudonyms | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """The new file `…-redacted.tgz`. Raises InvalidInput when nothing can be read, Conflict when it exists."""
    limits = limits or Limits()
    if pseudonyms is not None:
        progress("reading it for names")
        _learn(path, limits, pseudonyms)
    redactor = Redactor(pseudonyms)
    target = path.parent / f"{_ENDINGS.sub('', path.name, count=1) or path.name}-redacted.tgz"
    unread = Unread()
    writer = BundleWriter(
        target, redactor, now, most_bytes=limits.total_bytes, most_packed=limits.total_bytes, monotonic=limits.monotonic
    )
    try:
        try:
            for member in MemberReader(path, Budget(limits), unread).members():
                name = f"{DOCUMENTS}manifest-before.json" if member.name == NAME else member.name
                if _ALL_SECRET.search(name):
                    writer.skip(name, name, "a file that is a secret as a whole")
                    continue
                progress(name)
                writer.add(name, name, member.chunks, modified=member.modified)
        except LimitReached as reached:
            unread.add("(the rest)", reached.what)
        except OSError as error:
            raise _nothing(path, [error.strerror or str(error)]) from error
        for name, reason in unread.items:
            writer.skip(name, name, reason)
        if not any(item.bytes for item in writer.items):
            raise _nothing(path, [f"{name}: {reason}" for name, reason in unread.items[:8]])
        manifest = writer.finish()
        manifest = manifest.model_copy(update={"more": manifest.more + unread.more})
        return Bundle(target, target.stat().st_size, manifest)
    finally:
        writer.close()


def _learn(path: Path, limits: Limits, pseudonyms: Pseudonyms) -> None:
    try:
        # A budget of its own: both readings are bounded alike.
        for member in MemberReader(path, Budget(replace(limits)), Unread()).members():
            for block in text_blocks(member.chunks, limits.line_bytes, lambda reason: None):
                pseudonyms.learn(block)
    except LimitReached:
        return  # the second reading ends there too, and tells it
    except OSError as error:
        raise _nothing(path, [error.strerror or str(error)]) from error


def _nothing(path: Path, evidence: list[str]) -> InvalidInput:
    return InvalidInput(
        f"Nothing in {path} could be read and redacted.",
        reason="bundle-unreadable",
        field_name="file",
        evidence=evidence or ["it is empty"],
        remedy=["Give an archive of logs (.tgz, .tar, .gz, .xz, .bz2), a folder, or a text file."],
    )
