"""The OVF environment of an appliance: the XML that the hypervisor hands to a machine, as plain properties.

It is text from whoever deployed the machine, so it is read with bounds and without entities, and every oddity is
refused with words. Its form is that of DMTF's DSP0243 (Open Virtualization Format, "OVF environment"); VMware gives it
as guest info `guestinfo.ovfEnv` or as `ovf-env.xml` on an ISO. What the properties mean is in `ovf_properties`. Called
by `pcg install`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pcg.errors import InvalidInput

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # a type; what parses is defusedxml

MAXIMUM_BYTES = 1024 * 1024
MAXIMUM_PROPERTIES = 500
CLASS = "pcg."
"""what the keys of our properties begin with; others belong to other programs of the appliance"""

_SPACE = "{http://schemas.dmtf.org/ovf/environment/1}"
_ENCODING = re.compile(r"""<\?xml[^>]*\sencoding\s*=\s*["']([^"'>]{1,40})["']""")


def read_ovf_environment(path: Path) -> dict[str, str]:
    """Our properties, without the class in their keys; a value that is empty was not given.

    Raises InvalidInput (reason `ovf-env-unreadable`) without a word of what the file holds: it has the pairing code.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_ovf_environment(content)


def parse_ovf_environment(content: bytes) -> dict[str, str]:
    """As `read_ovf_environment`, from the document itself."""
    root = _root(_text(content))
    if root.tag != f"{_SPACE}Environment":
        raise _invalid(f"its root is {_short(root.tag)}, and not the Environment of OVF ({_SPACE[1:-1]})")
    found: dict[str, str] = {}
    # Direct children only: an Entity holds the properties of another machine of the same vApp.
    items = [item for section in root.findall(f"{_SPACE}PropertySection") for item in section]
    if len(items) > MAXIMUM_PROPERTIES:
        raise _invalid(f"it has more than {MAXIMUM_PROPERTIES} properties")
    for item in items:
        if item.tag != f"{_SPACE}Property":
            continue
        key, value = item.get(f"{_SPACE}key"), item.get(f"{_SPACE}value")
        if key is None or value is None:
            raise _invalid("a property has no key or no value in the namespace of OVF")
        if not key.startswith(CLASS):
            continue
        name = key.removeprefix(CLASS)
        if name in found:
            raise _invalid(f"the property {_short(key)} stands in it twice")
        found[name] = value
    return {name: value for name, value in found.items() if value.strip()}


def _text(content: bytes) -> str:
    if len(content) > MAXIMUM_BYTES:
        raise _invalid(f"it is larger than {MAXIMUM_BYTES // 1024 // 1024} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(f"it is not UTF-8 at byte {error.start}") from None
    declared = _ENCODING.match(text.lstrip())
    if declared is not None and declared[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise _invalid(f"it declares the encoding {_short(declared[1])}, and only UTF-8 is read")
    return text


def _root(text: str) -> Element:
    # Here, because an installer without --ovf-env shall not pay for it.
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException, ElementTree

    try:
        root: Element = ElementTree.fromstring(text.strip(), forbid_dtd=True)
    except DefusedXmlException:
        raise _invalid("it declares a document type or entities, which an OVF environment has no use for") from None
    except ParseError as error:
        raise _invalid(f"it is not well-formed XML: {error}") from None
    except (ValueError, LookupError) as error:
        raise _invalid(f"it is not XML that can be read: {type(error).__name__}") from None
    return root


def _short(text: str) -> str:
    return repr(text[:80])


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(
        f"The OVF environment is wrong: {why}.",
        reason="ovf-env-unreadable",
        field_name="ovf-env",
        remedy=["Give the file as the hypervisor wrote it: guest info guestinfo.ovfEnv, or ovf-env.xml of the ISO."],
    )
