"""A missing privilege in words, from the fields of the error that names it.

Called by the scenarios `clone-permission-denied` and `stuck-after-container-manager`, which share all but the moment.
"""

from __future__ import annotations

from collections.abc import Mapping

_FOR_IMPORT = frozenset({"VApp.Import"})
"""what nothing but bringing the node image needs"""

_HOW = {
    "role-lacks": "the role {role} lacks it",
    "not-propagated": "the role {role} has it but does not propagate to children",
    "hidden": "the role {role}, assigned nearer to it, lacks it and hides the one above that has it",
    "group": "only groups of the account have roles there",
    "no-permission": "no role of the account reaches it",
}
"""what the field `why` means, if the cloud could tell; {role} is the field of that name"""
_REMEDIES = {
    "role-lacks": "Add {privilege} to the role {role} of {account}.",
    "not-propagated": "Let the role {role} of {account} propagate to children, or assign it on {target} itself.",
    "hidden": "Replace the role {role} of {account} by one that has {privilege}.",
}


def is_for_import(fields: Mapping[str, str]) -> bool:
    """Whether the image cannot be brought; nothing was to be cloned yet."""
    return fields.get("privilege") in _FOR_IMPORT


def privilege_summary(fields: Mapping[str, str]) -> str:
    """Which privilege, on which object, for which account, and how the roles there lack it."""
    privilege, target, account = _named(fields)
    others = [one for one in fields.get("privileges", "").split(", ") if one and one != privilege]
    more = f" and {len(others)} more privileges" if others else ""
    how = _HOW.get(fields.get("why", ""), "").format(role=fields.get("role", ""))
    return f"{account} lacks the privilege {privilege} on {target}{more}{f': {how}' if how else ''}."


def privilege_remedy(fields: Mapping[str, str]) -> str:
    privilege, target, account = _named(fields)
    otherwise = "Add {privilege} to the role that {account} has on {target}, and let it propagate to its children."
    wanted = _REMEDIES.get(fields.get("why", ""), otherwise)
    return wanted.format(privilege=privilege, target=target, account=account, role=fields.get("role", ""))


def _named(fields: Mapping[str, str]) -> tuple[str, str, str]:
    """Privilege, object and account."""
    return fields.get("privilege", ""), fields.get("object", "an object"), fields.get("account", "the account")
