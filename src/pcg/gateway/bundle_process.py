"""`python -m pcg.gateway.bundle_process`: makes one log bundle for the gateway, in a process of its own.

The gateway must stay small and quick to answer; packing a machine's logs is neither. Started by `bundle_answer.py`,
which hears a line for each thing that is read (stderr), and at the end what came of it (stdout, one line of JSON).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pcg.bundle.collecting import create_bundle
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.sources import BundleLimits
from pcg.errors import PcgError
from pcg.gateway.bundle_documents import documents_of_state, names_of_this_machine, secrets_of_state
from pcg.model.problems import problem_at
from pcg.wire.bundle import MAXIMUM_BUNDLE_BYTES

_NICE = 10
_MARGIN_BYTES = 1 << 20
"""of packed bytes: the manifest comes after the limit is reached"""


def main() -> None:
    asked = _arguments()
    os.nice(_NICE)
    try:
        told: dict[str, Any] = asyncio.run(_make(asked))
    except PcgError as error:
        told = {"problem": problem_at(error, datetime.now(UTC)).model_dump(mode="json")}
    sys.stdout.write(json.dumps(told) + "\n")


async def _make(asked: argparse.Namespace) -> dict[str, Any]:
    made = await create_bundle(
        asked.folder,
        datetime.now(UTC),
        documents=documents_of_state(asked.state),
        pseudonyms=Pseudonyms(names_of_this_machine()) if asked.pseudonyms else None,
        known=secrets_of_state(asked.state),
        limits=BundleLimits(packed_bytes=MAXIMUM_BUNDLE_BYTES - _MARGIN_BYTES),
        root=asked.root,
        progress=lambda line: _say(line),
    )
    with made.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": str(made.path), "size": made.size, "sha256": digest}


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--pseudonyms", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
