"""`manifest.json` of a bundle: what was collected, what was cut, what was left out and why. Written last, beside the
logs; shown by the commands and the console.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

NAME = "manifest.json"
DOCUMENTS = "pcg/"
"""the folder of what the gateway itself knows: steps, events, settings, findings, probe results"""

MOST_ITEMS = 4000
_MOST_TEXT = 512


class Item(BaseModel):
    """`bytes` after redaction. `truncated` and `skipped` say why; empty means whole, and there."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(max_length=1024)
    source: str = Field(default="", max_length=1024)
    bytes: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    truncated: str = Field(default="", max_length=1024)
    skipped: str = Field(default="", max_length=1024)


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    made_at: datetime
    made_by: str = Field(max_length=128)
    pseudonyms: bool = False
    items: list[Item] = Field(max_length=MOST_ITEMS)
    more: int = Field(default=0, ge=0)
    """as many again are not listed"""

    @property
    def left_out(self) -> list[Item]:
        return [item for item in self.items if item.skipped or item.truncated]


def is_document(name: str) -> bool:
    """A member that tells about the gateway and is no log: the log engine must not read it as one."""
    return name == NAME or (name.startswith(DOCUMENTS) and name.endswith((".json", ".jsonl")))


def bundle_name(now: datetime) -> str:
    """As `date +%-Y%-m%-d-%-HH%-MM%-SS` has it: `spectro-logs-2026123-7H5M9S.tgz`, in the machine's zone."""
    local = now.astimezone()
    return f"spectro-logs-{local.year}{local.month}{local.day}-{local.hour}H{local.minute}M{local.second}S.tgz"


def short(text: str) -> str:
    return text[:_MOST_TEXT]
