"""Whatever comes, each reader of strangers' bytes reads or refuses it: a little at each run, by coverage in soak.

An input that broke a target becomes a line in `BROKE`, so that it is tried for good.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets import TARGETS, pax_archive

GUIDED_SECONDS = int(os.environ.get("PCG_FUZZ_SECONDS", "20"))
"""of one target"""
BROKE = [
    ("tar", pax_archive(size="²")),  # a digit, says Python, but no number
    ("configuration", b"a: 2026-02-30"),
    ("configuration", b"a: !!bool x"),
    ("configuration", b"a: !!timestamp x"),
    ("configuration", b"[" * 1200),
]


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_accepts_and_small_changes_of_it(name: str) -> None:
    target = TARGETS[name]
    chance = random.Random(name)
    seeds = target.seeds()
    for seed in seeds:
        assert target.run(seed), "mutations of what is refused reach little"
    for _ in range(target.mutations):
        target.run(mutated(chance.choice(seeds), target.words, chance))


def mutated(seed: bytes, words: tuple[str, ...], chance: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled, cut off, or replaced by a word."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 2, 4, 16))
        match chance.randrange(5):
            case 0:
                data[at : at + length] = chance.randbytes(length)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
            case 3:
                data[at : at + length] = chance.choice((*words, "\0", "9", "-", "{", "'", "\n")).encode()
            case 4 if chance.random() < 0.1:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize(("name", "data"), BROKE)
def test_what_once_broke_it(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@pytest.mark.soak
@pytest.mark.atheris
@pytest.mark.parametrize("name", TARGETS)
def test_guided_by_coverage(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "guided.py"), name, str(GUIDED_SECONDS), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=GUIDED_SECONDS + 120,
    )
    broke = {path.name: path.read_bytes() for path in tmp_path.glob("broke-*")}
    assert done.returncode == 0 and not broke, f"{broke}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
