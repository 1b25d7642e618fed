"""How fast a bundle is made, redacting and packing, and in how much memory. One JSON line.

`ratio` is its time by that of `tar czf` of the same files in the same run; `ratio_pseudonyms` with names replaced too.
`gateway_grows_mebibytes`: by how much the process grows that answers the console while a process of its own makes the
bundle and the console takes it in pieces; `maker_mebibytes`: that one's peak. PCG_BENCH_MEGABYTES sets the size (32).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import resource
import subprocess
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from pcg.bundle.collecting import create_bundle
from pcg.bundle.limits import MEBIBYTE
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.sources import MACHINE, BundleLimits, Files
from pcg.clock import SystemClock
from pcg.gateway.bundle_answer import BundleAnswer
from pcg.gateway.identity import StateDirectory

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
        (folder / "state").mkdir()
        grown, maker = asyncio.run(_answered(folder / "state", root))
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
        "gateway_grows_mebibytes": grown,
        "maker_mebibytes": maker,
        "ratio": round(secrets / reference, 2),
        "ratio_pseudonyms": round(names / reference, 2),
    }
    print(json.dumps(result))


async def _answered(state: Path, root: Path) -> tuple[float, int]:
    """As the console asks a gateway; all it gets is thrown away."""
    answer = BundleAnswer(StateDirectory(state), SystemClock(), root=root)
    before = most = _resident()
    name, told = str(uuid.uuid4()), {"state": "collecting", "size": 0}
    await answer.answer({"action": "begin", "bundle": name})
    while told["state"] == "collecting":
        await asyncio.sleep(0.1)
        told = await answer.answer({"action": "status", "bundle": name})
        most = max(most, _resident())
    assert told["state"] == "ready", told
    offset = 0
    while offset < told["size"]:
        chunk = await answer.answer({"action": "chunk", "bundle": name, "offset": offset})
        offset += len(base64.b64decode(chunk["data"]))
        most = max(most, _resident())
    await answer.answer({"action": "end", "bundle": name})
    return round(most - before, 1), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


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
