"""The table of drills in docs/diagnosis.md, made of what a real `pcg drill --all --output json` told: which scenarios
were found while each was played. `scripts/make-drill-matrix` writes it, `unit/drills` holds it to all drills.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BEGIN = "<!-- drills: made by scripts/make-drill-matrix -->\n"
_END = "<!-- end of drills -->"
_MARKS = ("caused", "found", "only", "recovered")


def with_matrix(page: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page with its table of drills made anew. `rows` are the JSON's `drills`."""
    before, begin, rest = page.partition(_BEGIN)
    if not begin:
        raise ValueError(f"the page has no line {_BEGIN.strip()}")
    return before + _BEGIN + "\n".join(_matrix(rows)) + "\n" + _END + rest.partition(_END)[2]


def drills_told(page: str) -> dict[str, int]:
    """How many drills of each scenario the page's table is made of."""
    table = page.partition(_BEGIN)[2].partition(_END)[0]
    return {name: int(number) for name, number in re.findall(r"^\| ([a-z-]+) \| (\d+) \|", table, re.MULTILINE)}


def _matrix(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows: what was caused; columns: in how many of its drills a scenario was found."""
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        scenarios = {row["scenario"]} if row["found"] else set()
        scenarios |= {other.partition("/")[0] for other in row.get("others", ())}
        counted.setdefault(row["scenario"], Counter()).update(
            {"drills": 1, **dict.fromkeys(scenarios or {"nothing"}, 1)}
        )
    columns = ["drills", "nothing", *sorted({name for row in counted.values() for name in row} - {"drills", "nothing"})]
    yield "| drills of | " + " | ".join(columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for name, row in counted.items():
        yield f"| {name} | " + " | ".join(str(row[column] or "") for column in columns) + " |"
    told = ", ".join(f"{sum(bool(row[mark]) for row in rows)} {mark}" for mark in _MARKS)
    yield f"\nOf {len(rows)} drills: {told}."
    for row in rows:
        if row.get("others") or row.get("trouble"):
            yield f"\n`{row['scenario']}/{row['cause']}`: {', '.join(row.get('others', ())) or row['trouble']}."
