"""How much `pcg --help` costs over importing click alone. Prints one JSON line; the ratio must be at most 1.5."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 21


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    pcg = [str(Path(sys.executable).parent / "pcg"), "--help"]
    click = [sys.executable, "-c", "import click"]
    for command in (pcg, click):
        seconds(command)  # warm the file cache for both alike
    # Alternating, so that a noisy neighbour hits both.
    pairs = [(seconds(pcg), seconds(click)) for _ in range(ROUNDS)]
    ratio = statistics.median(left for left, _ in pairs) / statistics.median(right for _, right in pairs)
    print(json.dumps({"bench": "start", "ratio": round(ratio, 3), "limit": 1.5, "rounds": ROUNDS}))
    sys.exit(ratio > 1.5)


if __name__ == "__main__":
    main()
