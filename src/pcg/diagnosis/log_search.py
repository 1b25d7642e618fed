"""A pattern of `re` whose letters may be of any case, searched several times as fast. For the signatures and the
questions about a line (`log_rules`, `log_context`).

`re` tries each branch at each place by slow means where case is ignored. With pattern and text in lower case it need
not ignore it; the places are the same, as long as the text is ASCII. Other text is searched as usual.
"""

from __future__ import annotations

import re
from functools import cached_property

from pcg.diagnosis.log_literals import alternatives

_ATOM = re.compile(r"\\.|\(\?P<\w+>|[^\\]", re.DOTALL)
"""an escape, the beginning of a named group, or any other character"""


class Search:
    """To be made where a module is loaded: it is compiled when it is first asked."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern = pattern
        self._flags = flags

    def __call__(self, text: str, low: str | None) -> re.Match[str] | None:
        """`low` is the text in lower case if it is ASCII. The match's places are those of `text`, from where what it
        captured is to be taken: here it may be in lower case."""
        return self.compiled.search(text) if low is None else self._lower.search(low)

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self._flags | re.IGNORECASE)

    @cached_property
    def _lower(self) -> re.Pattern[str]:
        return re.compile(lowered(self.pattern), self._flags)


class RareSearch(Search):
    """For what most of the lines that are asked have not: literals are looked for first, which takes a tenth of the
    time. Every way to match must have one (`alternatives`)."""

    def __call__(self, text: str, low: str | None) -> re.Match[str] | None:
        if low is not None:
            for literal in self._literals:
                if literal in low:
                    break
            else:
                return None
        return super().__call__(text, low)

    @cached_property
    def _literals(self) -> list[str]:
        """Every match has one."""
        found = {max(sorted(way), key=len) for way in alternatives(self.pattern)}
        return sorted(one for one in found if not any(other != one and other in one for other in found))


def lowered(pattern: str) -> str:
    """Finds in lower-case ASCII what the pattern finds in any case. Neither escapes nor names of groups are letters."""
    return _ATOM.sub(lambda found: found[0] if len(found[0]) > 1 else found[0].lower(), pattern)


def lower_ascii(text: str) -> str | None:
    """What `Search` wants beside the text."""
    return text.lower() if text.isascii() else None
