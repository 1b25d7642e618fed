"""The stream filter that every byte of a bundle passes: secrets always, names and addresses on request.

Used by `collecting.py` (new bundles) and `redacting.py` (archives that exist). The number of lines stays, so that a
line of evidence is found again in the original.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from pcg.bundle.limits import Limits
from pcg.bundle.pseudonyms import Pseudonyms
from pcg.bundle.secret_patterns import HIDDEN, LITERALS, hide_codes, hide_secrets
from pcg.bundle.text import text_blocks
from pcg.diagnosis.log_prefilter import Prefilter, lines, quick_prefilter

_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(rb"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_MOST_KEY_LINES = 400
"""the longest keys have about a hundred; a file that was cut off within one must not vanish whole"""

_BLOCK_BEGINS = re.compile(
    rb"^([ \t]*)(?:- )?[\"']?[\w.-]*(?:pass(?:word|wd|phrase)|secret|token|private[_-]?key|user[_-]?data)[\"']?:"
    rb"\s*[|>][+-]?\d?[ \t]*\r?$",
    re.IGNORECASE,
)
_SHORTEST_KNOWN = 4


class Redactor:
    """One for a whole bundle. `known`: secrets that the caller holds himself, taken out wherever they stand."""

    def __init__(self, pseudonyms: Pseudonyms | None = None, known: Iterable[str] = ()) -> None:
        self.pseudonyms = pseudonyms
        self._prefilter = _prefilter()
        words = sorted({one.encode() for one in known if len(one) >= _SHORTEST_KNOWN}, key=len, reverse=True)
        self._known = re.compile(b"|".join(re.escape(word) for word in words)) if words else None

    def text(self, chunks: Iterator[bytes], tell: Callable[[str], None]) -> Iterator[bytes]:
        """One file. `tell` says what was cut or, being no text, left out whole."""
        state = _Hiding()
        for block in text_blocks(chunks, Limits.line_bytes, tell):
            yield self._block(block, state)

    def name(self, name: str) -> str:
        """A file's name: a pod of the control plane is called after its node."""
        return self.pseudonyms.text(name.encode()).decode("utf-8", "replace") if self.pseudonyms else name

    def _block(self, data: bytes, state: _Hiding) -> bytes:
        done = list[bytes]()
        at = state.through(data, 0, done)
        for start, end, _ in lines(data, self._prefilter.hits(data)):
            if start < at:
                continue
            done.append(data[at:start])
            line = data[start:end]
            hidden = hide_secrets(line)
            at = end
            if state.begins(line, hidden):
                # The line itself and what follows it, as far as the key or the YAML block goes.
                hidden = state.first(hidden)
                at = min(end + 1, len(data))
                done += [hidden, data[end:at]]
                at = state.through(data, at, done)
            else:
                done.append(hidden)
        done.append(data[at:])
        block = hide_codes(b"".join(done))
        if self._known is not None:
            block = self._known.sub(HIDDEN, block)
        return self.pseudonyms.text(block) if self.pseudonyms else block


@cache
def _prefilter() -> Prefilter:
    return quick_prefilter((), tuple(sorted(LITERALS)))


class _Hiding:
    """Within a private key, or a YAML block below a secret's name, that goes on over lines and blocks."""

    def __init__(self) -> None:
        self._lines_left = 0
        self._indent = -1

    @property
    def active(self) -> bool:
        return self._lines_left > 0

    def begins(self, line: bytes, hidden: bytes) -> bool:
        """`hidden`: the line after its own secrets were replaced, a key that ends in it too."""
        if _KEY_BEGINS.search(hidden):
            self._lines_left, self._indent = _MOST_KEY_LINES, -1
        elif found := _BLOCK_BEGINS.match(line):
            self._lines_left, self._indent = _MOST_KEY_LINES, len(found[1])
        return self.active

    def first(self, line: bytes) -> bytes:
        found = _KEY_BEGINS.search(line)
        return line[: found.start()] + HIDDEN if found else line

    def through(self, data: bytes, at: int, done: list[bytes]) -> int:
        """Each line hidden, to the end of what is hidden; where that is."""
        while self.active and at < len(data):
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            line = data[at:end]
            if self._indent >= 0:
                if line.strip() and len(line) - len(line.lstrip()) <= self._indent:
                    self._lines_left = 0
                    return at
            elif found := _KEY_ENDS.search(line):
                self._lines_left = 0
                done.append(HIDDEN + line[found.end() :])
                return end
            self._lines_left -= 1
            done += [HIDDEN if line.strip() else line, data[end : end + 1]]
            at = min(end + 1, len(data))
        return at
