"""`python guided.py TARGET SECONDS FOLDER`: one target under atheris, which looks for inputs that reach new code.

A process of its own, as libFuzzer ends the process that it runs in. FOLDER keeps what it found to be of use, and the
input that broke the target as broke-…. https://github.com/google/atheris
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pcg"], enable_loader_override=False):
    from targets import TARGETS


def main() -> None:
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    options = [
        *([f"-dict={words}"] if target.words else []),
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-max_len=16384",
        f"-artifact_prefix={folder}/broke-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    """As libFuzzer's dictionaries want it: https://llvm.org/docs/LibFuzzer.html#dictionaries"""
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
