"""How fast a bundle is made, redacting and packing, and in how much memory. One JSON line.

`ratio` is its time by that of `tar czf` of the same files in the same run; `ratio_pseudonyms` with names replaced too.
PCG_BENCH_MEGABYTES sets the size (32).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from pcg.bundle.collecting import create_bundle
from pcg.bundle.limits import MEBIBYTE
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.sources import MACHINE, BundleLimits, Files

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ("volume", "pod", "container", "started", "synced", "watch", "list", "update", "lease", "node", "request")
FILES = ("syslog", "kern.log", "cloud-init.log", "containers/jet_pcg_jet-1.log")


def line(number: int, chance: random.Random) -> str:
    """One line in a hundred holds a secret, one in ten an address."""
    clock = f"07:{number // 60 % 60:02d}:{number % 60:02d}"
    words = " ".join(chance.choices(WORDS, k=10))
    if number % 100 == 0:
        words += f" password={chance.randbytes(8).hex()}"
    if number % 10 == 0:
        words += f" from 10.10.20.{number % 250}:443"
    return f'Feb  3 {clock} node-a kubelet[1187]: I0203 {clock}.000001    1187 kubelet.go:{number % 3000}] "{words}"'


def main() -> None:
    chance = random.Random(1)
    size = int(os.environ.get("PCG_BENCH_MEGABYTES", "32")) << 20
    sample = "\n".join(line(number, chance) for number in range(20_000)).encode() + b"\n"
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name) / "machine"
        (root / "var/log/containers").mkdir(parents=True)
        for file in FILES:
            with (root / "var/log" / file).open("wb") as log:
                for _ in range(size // len(FILES) // len(sample) + 1):
                    log.write(sample)
        megabytes = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
        began = time.perf_counter()
        subprocess.run(["tar", "czf", folder / "reference.tgz", "-C", root, "var"], check=True)
        reference = time.perf_counter() - began
        secrets = _seconds(folder, root, None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        names = _seconds(folder, root, Pseudonyms(["node-a"]))
    result = {
        "bench": "bundle",
        "megabytes": round(megabytes, 1),
        "megabytes_per_second": round(megabytes / secrets, 1),
        "peak_mebibytes": peak,
        "ratio": round(secrets / reference, 2),
        "ratio_pseudonyms": round(names / reference, 2),
    }
    print(json.dumps(result))


def _seconds(folder: Path, root: Path, pseudonyms: Pseudonyms | None) -> float:
    machine = [source for source in MACHINE if isinstance(source, Files)]
    limits = BundleLimits(item_bytes=1024 * MEBIBYTE, total_bytes=4096 * MEBIBYTE, packed_bytes=2048 * MEBIBYTE)
    began = time.perf_counter()
    made = asyncio.run(create_bundle(folder, NOW, pseudonyms=pseudonyms, limits=limits, root=root, machine=machine))
    seconds = time.perf_counter() - began
    assert not [item for item in made.manifest.items if item.truncated]
    return seconds


if __name__ == "__main__":
    main()
