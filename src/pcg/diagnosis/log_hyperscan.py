"""The prefilter on Hyperscan, where its package is: one pass over a block for all literals at once.

It finds the very literals that `LiteralPrefilter` finds, so verdicts are the same with and without it
(tests/unit/diagnosis). Chosen by `log_prefilter.prefilter_for`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import hyperscan


class HyperscanPrefilter:
    def __init__(self, literals: Iterable[str]) -> None:
        self._literals = sorted({literal.encode() for literal in literals})
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=self._literals,
            ids=list(range(len(self._literals))),
            elements=len(self._literals),
            flags=hyperscan.HS_FLAG_CASELESS,
            literal=True,
        )

    def lines(self, block: bytes) -> Iterator[tuple[int, int, set[bytes]]]:
        ends: list[tuple[int, int]] = []

        def found(number: int, start: int, end: int, flags: int, context: object) -> None:
            ends.append((end, number))

        self._database.scan(block, match_event_handler=found)
        # Hyperscan tells matches by their ends, and does not promise their order.
        ends.sort()
        start = line_end = -1
        within: set[bytes] = set()
        for end, number in ends:
            literal = self._literals[number]
            if end - 1 > line_end:
                if within:
                    yield start, line_end, within
                start = block.rfind(b"\n", 0, end - len(literal)) + 1
                line_end = block.find(b"\n", end - 1)
                line_end = len(block) if line_end < 0 else line_end
                within = set()
            within.add(literal)
        if within:
            yield start, line_end, within
