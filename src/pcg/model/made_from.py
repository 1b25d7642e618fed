"""What a machine was made from, as it stands in its mark `pcg.made-from`: seen on the machine, never only remembered.

Written by the gateway's step `machines` in the creating call, read by its `replacements` and by diagnosis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pcg.model.configuration import Configuration, CustomSize

_MARK = re.compile(r"(\d{1,18}) (\d{1,6}),(\d{1,6}),(\d{1,6}) (.+)")


@dataclass(frozen=True)
class MadeFrom:
    """`cpus`, GiB of `memory` and of `disk`; `image` is the template as FOLDER/NAME."""

    generation: int
    """of the desired state by which it was made"""
    cpus: int
    memory: int
    disk: int
    image: str

    @property
    def mark(self) -> str:
        return f"{self.generation} {self.cpus},{self.memory},{self.disk} {self.image}"

    @property
    def hardware(self) -> tuple[int, int]:
        """CPUs and GiB of memory, as a cloud reports them."""
        return self.cpus, self.memory

    def same_as(self, other: MadeFrom) -> bool:
        """Whichever generation asked for it."""
        return (self.cpus, self.memory, self.disk, self.image) == (other.cpus, other.memory, other.disk, other.image)

    def __str__(self) -> str:
        return f"{described(self.cpus, self.memory, self.disk)}, image {self.image}"


def described(cpus: int, memory: int, disk: int) -> str:
    """For a person."""
    return f"{cpus} CPUs, {memory} GiB, {disk} GiB of disk"


def made_from(configuration: Configuration, generation: int) -> MadeFrom:
    """What a machine is made from now. A template is known by its name, which tells contents apart."""
    size: CustomSize = configuration.nodes.hardware
    image = f"{configuration.template.folder}/{configuration.template.name}"
    return MadeFrom(generation, size.cpus, size.memory_gi_b, size.disk_gi_b, image)


def parse_made_from(mark: str) -> MadeFrom | None:
    """None when it is not one of our marks: also of a machine of an older version, which is without."""
    match = _MARK.fullmatch(mark)
    if match is None:
        return None
    generation, cpus, memory, disk = (int(match[group]) for group in range(1, 5))
    return MadeFrom(generation, cpus, memory, disk, match[5])
