"""The one tree of errors, and what each asks of whoever catches it.

    PcgError
    ├── TryAgain            the same call may succeed later (when: `after`)
    │   ├── Unreachable         a name, connect, TLS or HTTP hop failed
    │   └── Busy                the other side asked us to wait
    ├── GiveUp              the same call will never succeed
    │   ├── InvalidInput        a value is wrong: which field, why
    │   ├── Refused             the console's final no (expired, used, unknown, revoked)
    │   ├── NotFound            a named thing does not exist (with near matches)
    │   ├── Conflict            it exists already, or was changed by someone else
    │   └── ProtocolError       the peer does not speak as docs/protocol.md says
    └── AskPerson           only a person can change this, then the same call may succeed
        ├── PermissionMissing   which privilege, on which object, for which account
        ├── CredentialsRejected the account or its password is not accepted
        ├── ResourcesMissing    not enough of something, where, how much
        └── SetupMissing        this machine lacks something; which, and how to get it

Every error carries the parts that a person reads: what, evidence, cause, remedy, link. Everybody imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DOCS = "https://github.com/pcg-project/pcg/blob/main/docs/"


@dataclass(eq=False)
class PcgError(Exception):
    """`what` is one sentence for a person; `reason` a stable kebab-case word for programs.

    `fields` holds the original vendor's or library's values; the original exception is chained (`raise … from`).
    """

    what: str
    reason: str = "error"
    evidence: list[str] = field(default_factory=list)
    cause: str = ""
    remedy: list[str] = field(default_factory=list)
    link: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.what)

    def __str__(self) -> str:
        return self.what


@dataclass(eq=False)
class TryAgain(PcgError):
    """The same call may succeed later. `after` is in seconds; None leaves it to the caller's back-off."""

    after: float | None = None


class Unreachable(TryAgain):
    """A hop failed. `fields["hop"]` is one of name, connect, proxy, tls, http, websocket."""


class Busy(TryAgain):
    """The other side asked us to wait."""


class GiveUp(PcgError):
    """The same call will never succeed."""


@dataclass(eq=False)
class InvalidInput(GiveUp):
    """A value is wrong. `field_name` is its path as the person typed it, for example `vcenter.address`."""

    field_name: str = ""


class Refused(GiveUp):
    """The console's final no; `reason` says which."""


class NotFound(GiveUp):
    """A named thing does not exist; near matches stand in the evidence."""


class Conflict(GiveUp):
    """It exists already, or was changed by someone else in between."""


class ProtocolError(GiveUp):
    """The peer does not speak as docs/protocol.md says."""


class AskPerson(PcgError):
    """Only a person can change this; afterwards the same call may succeed."""


class PermissionMissing(AskPerson):
    """`fields` has privilege, object, object-type and account."""


class CredentialsRejected(AskPerson):
    """Never tried again with the same version of the credentials."""


class ResourcesMissing(AskPerson):
    """`fields` has resource, where, needed and free."""


class SetupMissing(AskPerson):
    """This machine lacks something that can be installed."""


def readable(error: PcgError) -> str:
    """The block that a person at a terminal reads: what, evidence, cause, remedy, link. Empty parts are left out."""
    lines = [f"error: {_in_one(error.what)}"]
    if isinstance(error, InvalidInput) and error.field_name:
        lines.append(f"  field:    {_in_one(error.field_name)}")
    lines += [f"  evidence: {_in_one(item)}" for item in error.evidence]
    if error.cause:
        lines.append(f"  cause:    {_in_one(error.cause)}")
    lines += [f"  remedy:   {_in_one(item)}" for item in error.remedy]
    if error.link:
        lines.append(f"  link:     {_in_one(error.link)}")
    return "\n".join(lines)


def _in_one(text: str) -> str:
    """A line of its own for each part, whatever stands in it: an answer from outside must not pass for a part."""
    return " ".join(text.split("\n"))
