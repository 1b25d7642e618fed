"""How fast logs are read and judged, plain and gzip, and in how much memory. One JSON line.

`ratio` is the time for gzip by that of zlib's own inflate of the same bytes. PCG_BENCH_MEGABYTES sets the size (32).
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import tempfile
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

from pcg.bundle.reading import read_logs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = ("volume", "pod", "container", "started", "synced", "watch", "list", "update", "lease", "node", "request")


def line(number: int, chance: random.Random) -> str:
    clock = f"07:{number // 60 % 60:02d}:{number % 60:02d}"
    words = " ".join(chance.choices(WORDS, k=10))
    forms = (
        f'Feb  3 {clock} node-a kubelet[1187]: I0203 {clock}.000001    1187 kubelet.go:{number % 3000}] "{words}"',
        f'2026-02-03T{clock}.000000001Z stdout F {{"level":"info","msg":"{words}","id":{number}}}',
        f"Feb  3 {clock} node-a systemd[1]: {words} {number}.",
    )
    return forms[number % 3]


def main() -> None:
    chance = random.Random(1)
    size = int(os.environ.get("PCG_BENCH_MEGABYTES", "32")) << 20
    sample = "\n".join(line(number, chance) for number in range(20_000)).encode() + b"\n"
    times = size // len(sample) + 1
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "syslog", Path(folder) / "syslog.1.gz"
        with plain.open("wb") as one, gzip.open(packed, "wb", 6) as other:
            for _ in range(times):
                one.write(sample)
                other.write(sample)
        seconds = {}
        for path in (plain, packed):
            began = time.perf_counter()
            read_logs(path, NOW)
            seconds[path.name] = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        began = time.perf_counter()
        zlib.decompress(packed.read_bytes(), wbits=31)
        inflate = time.perf_counter() - began
    megabytes = times * len(sample) / 1e6
    result = {
        "bench": "doctor",
        "megabytes": round(megabytes, 1),
        "plain_megabytes_per_second": round(megabytes / seconds["syslog"], 1),
        "gzip_megabytes_per_second": round(megabytes / seconds["syslog.1.gz"], 1),
        "ratio": round(seconds["syslog.1.gz"] / inflate, 2),
        "peak_mebibytes": peak,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
