"""The data center's refusals as the errors of the contract, with its own values kept in `fields`."""

from __future__ import annotations

from pcg.clouds.simulated.refusals import Refusal
from pcg.errors import (
    Conflict,
    CredentialsRejected,
    GiveUp,
    NotFound,
    PcgError,
    PermissionMissing,
    ResourcesMissing,
    TryAgain,
    Unreachable,
)


def translate(refusal: Refusal, address: str, account: str) -> PcgError:
    fields = {**refusal.fields, "refusal": refusal.kind}
    evidence = [f"the data center answered: {refusal.kind}: {refusal.message}"]
    match refusal.kind:
        case "login-refused":
            return CredentialsRejected(
                f"The data center {address} does not accept the account {account} or its password.",
                reason="credentials-rejected",
                evidence=evidence,
                remedy=["Give the password again, or unlock or correct the account."],
                fields={**fields, "account": account},
            )
        case "not-authenticated":
            return TryAgain("The session with the data center has ended.", reason="session-lost", evidence=evidence)
        case "no-permission":
            return permission_missing(account, fields["privilege"], fields["object"], evidence)
        case "name-taken" | "instance-exists":
            return Conflict(refusal.message, reason=refusal.kind, evidence=evidence, fields=fields)
        case "not-enough":
            return ResourcesMissing(
                refusal.message,
                reason="resources-missing",
                evidence=evidence,
                remedy=["Free some, add some, or choose another placement."],
                fields=fields,
            )
        case "gone":
            return NotFound(refusal.message, reason="object-gone", evidence=evidence, fields=fields)
        case "not-found":
            return not_found(refusal, evidence)
        case "host-not-responding":
            return TryAgain(
                refusal.message,
                reason="data-center-failed",
                evidence=evidence,
                remedy=["Ask whoever runs the data center to look at the named host; it is tried again by itself."],
                fields=fields,
            )
        case "fetch-interrupted":
            return TryAgain(
                refusal.message,
                reason="image-transfer-interrupted",
                evidence=evidence,
                remedy=["Nothing: the transfer begins again by itself.", "If it breaks off again, look at the way."],
                fields=fields,
            )
        case "fetch-failed":
            return Unreachable(
                refusal.message,
                reason="image-not-fetched",
                evidence=evidence,
                remedy=["The data center itself fetches the image: check the way from there to the image's host."],
                fields=fields,
            )
    return GiveUp(refusal.message, reason=f"refused-{refusal.kind}", evidence=evidence, fields=fields)


def permission_missing(account: str, privilege: str, where: str, evidence: list[str]) -> PermissionMissing:
    return PermissionMissing(
        f"The account {account} lacks the privilege {privilege} on {where}.",
        reason="permission-missing",
        evidence=evidence,
        cause="The account's role on that object (or on its parents, where it propagates) does not contain it.",
        remedy=[f"Give {account} a role with {privilege} on {where}."],
        fields={"privilege": privilege, "object": where, "object-type": _type_of(where), "account": account},
    )


def not_found(refusal: Refusal, evidence: list[str]) -> NotFound:
    there = refusal.fields.get("there", "")
    return NotFound(
        refusal.message,
        reason=f"{refusal.fields.get('kind', 'object')}-not-found",
        evidence=[*evidence, *([f"there is: {there}"] if there else [])],
        remedy=["Correct the name in the configuration."],
        fields=refusal.fields,
    )


def template_missing(folder: str, name: str) -> NotFound:
    return NotFound(
        f"The template {name} does not exist in {folder}.",
        reason="template-not-found",
        evidence=["template.image is a name, not a URL: nothing can be fetched"],
        remedy=[f"Import the node image as {name} into {folder}, or give the image's URL."],
        fields={"kind": "template", "name": name, "folder": folder},
    )


def _type_of(path: str) -> str:
    """As vSphere names the object's type."""
    parts = path.strip("/").split("/")
    kinds = {"vm": "Folder", "host": "ResourcePool", "datastore": "Datastore", "network": "Network"}
    if len(parts) >= 4 and parts[1] == "vm":
        return "VirtualMachine"
    return kinds.get(parts[1], "Datacenter") if len(parts) > 1 else "Datacenter"
