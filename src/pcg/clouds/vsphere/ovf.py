"""The OVF descriptor, parsed only as far as an import needs it: which files, which networks. vCenter reads the rest.

Used by `images.py`. The descriptor comes from elsewhere: no entities, no document type, bounded counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pcg.clouds.vsphere.ova import MalformedOva

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAXIMUM_FILES = 100
MAXIMUM_NETWORKS = 50


@dataclass(frozen=True)
class Descriptor:
    text: str
    files: tuple[str, ...]
    """names of the disks and other files"""
    networks: tuple[str, ...]


def parse(document: bytes) -> Descriptor:
    """Raises MalformedOva."""
    try:
        root = fromstring(document, forbid_dtd=True, forbid_entities=True, forbid_external=True)
        text = document.decode("utf-8-sig")
    except (ParseError, DefusedXmlException, UnicodeDecodeError, ValueError, LookupError) as error:
        raise MalformedOva("its descriptor is no XML that may be read") from error
    if _local(root.tag) != "Envelope":
        raise MalformedOva("its descriptor is no OVF envelope")
    files = [element for part in root if _local(part.tag) == "References" for element in part]
    networks = [element for part in root if _local(part.tag) == "NetworkSection" for element in part]
    if len(files) > MAXIMUM_FILES or len(networks) > MAXIMUM_NETWORKS:
        raise MalformedOva("its descriptor names too many files or networks")
    for element in files:
        if _attribute(element, "chunkSize") or _attribute(element, "compression") not in ("", "identity"):
            raise MalformedOva("its disks are split or compressed as a whole, which is not supported")
    return Descriptor(
        text=text,
        files=tuple(_attribute(element, "href") for element in files if _local(element.tag) == "File"),
        networks=tuple(_attribute(element, "name") for element in networks if _local(element.tag) == "Network"),
    )


def _local(name: str) -> str:
    """Without the namespace, which differs between the versions of OVF."""
    return str(name).rsplit("}", 1)[-1]


def _attribute(element: Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if _local(key) == name), "")
