"""`python -m pcg.diagnosis.log_worker CONNECTION MEMORY`: searches blocks of log lines in memory that another process
shares with it. Started, told and asked by `log_searches.py`; both are numbers of what it inherits.

Hyperscan calls Python for each hit, and Python runs one thread at a time: beside one that unpacks and judges, a scan
would stand still longer than it scans.
"""

from __future__ import annotations

import json
import mmap
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from pcg.diagnosis.log_hits import TOO_MANY
from pcg.diagnosis.log_hyperscan import HyperscanPatterns

_MOST_HITS = 200_000
"""of a block, which take a megabyte for each pattern that has them, in both processes"""


def main() -> None:
    # Who interrupts a command means its whole group. It is the command that decides, and when it ends this does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, memory = int(sys.argv[1]), int(sys.argv[2])
    with suppress(EOFError, ConnectionError), Connection(connection) as asked:
        prefilter = HyperscanPatterns.of(json.loads(asked.recv_bytes()))
        asked.send_bytes(prefilter.to_bytes())
        with mmap.mmap(memory, 0, prot=mmap.PROT_READ) as shared, memoryview(shared) as blocks:
            while True:
                start, length = json.loads(asked.recv_bytes())
                with blocks[start : start + length] as block:
                    hits = prefilter.search(block)
                asked.send_bytes(hits.to_bytes() if len(hits) <= _MOST_HITS else TOO_MANY)


if __name__ == "__main__":
    main()
