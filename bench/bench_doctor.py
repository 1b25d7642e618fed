"""How fast logs are read and judged, plain and gzip, against ripgrep and zlib in the same run. One JSON line.

`plain_by_ripgrep`: our time for the plain file by that of `rg -j1` for the literals of the same patterns (1.0 or less:
as fast). ripgrep with the whole patterns is asked on a part of the file only, since it takes minutes for all of it.
`gzip_by_inflate`: our time for the gzip file by that of zlib's own inflate. Each is the best of ROUNDS, in turns.
Each of ours is a reading by itself, which has a process search made ready for it.
`trouble_microseconds_per_line`: processor time where every line says the same failure.
`peak_mebibytes`: of a process that reads the gzip file and of the one that searches for it, what they share counted
twice. PCG_BENCH_MEGABYTES sets the size (1000), which takes about two minutes.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import log_corpus
from pcg.bundle.reading import read_logs
from pcg.diagnosis.log_engine import log_rules
from pcg.diagnosis.log_prefilter import literals_of
from pcg.diagnosis.log_scan import LogScanner

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TROUBLE = 60_000
LINES = 200_000
"""different ones; a longer corpus repeats them"""
PART = 1 << 20
ROUNDS = 3


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def inflate(packed: Path) -> None:
    """As a reader that holds only a piece at a time."""
    stream = zlib.decompressobj(wbits=31)
    with packed.open("rb", buffering=0) as file:
        while data := file.read(256 << 10):
            while data:
                stream.decompress(data, 1 << 20)
                data = stream.unconsumed_tail


READING = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pcg.bundle.reading import read_logs
read_logs(Path(sys.argv[1]), datetime(2026, 3, 1, tzinfo=UTC))
"""


def peak_mebibytes(path: Path) -> int:
    """Resident, of one that reads it and of its child, looked at all the time."""
    process = subprocess.Popen([sys.executable, "-c", READING, str(path)])
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, [process.pid, *children(process.pid)])))
        time.sleep(0.002)
    return peak >> 20


def resident(pid: int) -> int:
    """Bytes; none of a process that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (FileNotFoundError, ProcessLookupError):
        return 0


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def ripgrep(patterns: Iterable[str], path: Path, *options: str) -> float | None:
    """Seconds; None where there is none."""
    program = shutil.which("rg")
    if program is None:
        return None
    file = path.with_name("patterns")
    file.write_text("\n".join(sorted(patterns)) + "\n")
    # The argument list is ours alone.
    command = [program, "-j1", "--no-config", "--no-unicode", "-i", "-c", *options, "-f", str(file), str(path)]
    return seconds(lambda: subprocess.run(command, check=False, stdout=subprocess.DEVNULL))


def for_ripgrep(pattern: str) -> str:
    """Without what its engine has not: names of groups that repeat, looking ahead, needless escapes."""
    plain = re.sub(r"\(\?P<\w+>", "(?:", pattern)
    return re.sub(r"\(\?!(?:[^()]|\([^()]*\))*\)", "", plain).replace("\\'", "'").replace('\\"', '"')


def main() -> None:
    size = int(os.environ.get("PCG_BENCH_MEGABYTES", "1000")) << 20
    sample = "\n".join(log_corpus.lines(LINES)).encode() + b"\n"
    times = max(1, size // len(sample))
    patterns = [use.signature.pattern for use in LogScanner(log_rules(), NOW).uses]
    literals = {first.decode() for pattern in patterns for first, _ in literals_of(pattern)}
    with tempfile.TemporaryDirectory() as folder:
        plain, packed, part = Path(folder) / "syslog", Path(folder) / "syslog.1.gz", Path(folder) / "part"
        with plain.open("wb") as one, gzip.open(packed, "wb", 6) as other:
            for _ in range(times):
                one.write(sample)
                other.write(sample)
        part.write_bytes(sample[:PART])
        found = len(read_logs(plain, NOW).verdict.findings)  # also warms the page cache
        ours, unpacking, references, inflating = [], [], [], []
        for _ in range(ROUNDS):
            ours.append(seconds(lambda: read_logs(plain, NOW)))
            references.append(ripgrep(literals, plain, "-F"))
            unpacking.append(seconds(lambda: read_logs(packed, NOW)))
            inflating.append(seconds(lambda: inflate(packed)))
        trouble = Path(folder) / "messages"
        trouble.write_text("\n".join(log_corpus.in_trouble(TROUBLE)) + "\n")
        began = time.process_time()
        read_logs(trouble, NOW)
        judging = time.process_time() - began
        peak = peak_mebibytes(packed)
        whole = ripgrep(map(for_ripgrep, set(patterns)), part)
    megabytes = times * len(sample) / 1e6
    told = [one for one in references if one]
    result = {
        "bench": "doctor",
        "megabytes": round(megabytes, 1),
        "findings": found,
        "plain_megabytes_per_second": round(megabytes / min(ours), 1),
        "plain_by_ripgrep": round(min(ours) / min(told), 2) if told else None,
        "ripgrep_whole_patterns_megabytes_per_second": round(PART / 1e6 / whole, 2) if whole else None,
        "gzip_megabytes_per_second": round(megabytes / min(unpacking), 1),
        "gzip_by_inflate": round(min(unpacking) / min(inflating), 2),
        "trouble_microseconds_per_line": round(judging / TROUBLE * 1e6, 1),
        "peak_mebibytes": peak,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
