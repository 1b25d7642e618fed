"""Words that an attacker would give as a name: one list for every field, and how it looks when they do nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from pcg.model.states import ConditionName, MachineRole, MachineState, Severity, StepName, StepState

PAYLOADS: dict[str, str] = {
    "terminal": "\x1b[31mred\x1b[2J\x1b]0;owned\x07\x1bP\x1b\\",
    "eight-bit-terminal": "\x9b31mred\x9d0;owned\x9c\x85",
    "script": "<script>alert(1)</script>",
    "attribute": "\" onmouseover=\"alert(1)\" style='x' autofocus '",
    "end-of-everything": "</title></textarea></pre></code></td></option></svg>--><img src=x onerror=alert(1)>",
    "template": "{{7*7}}{% raw %}${7*7}#{7*7}<%= 7*7 %>",
    "sql": '\'; DROP TABLE gateways; -- " OR ""="',
    "bidi": "\u202egpj.exe\u2066 \u2069\u200f\u061c",
    "unseen": "\u200b\ufeff\u2028\u2029\u00ad\u180e",
    "emoji": "\U0001f4a9\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "lines": "a\nERROR root: forged\r\nSet-Cookie: a=b\n\nevent: forged\ndata: {}\n\n",
    "nul": "a\x00b\x00",
    "format": "%s%n%x%(name)s{0}{__class__}{0.__init__.__globals__}\\x41\\u0041",
    "path": "../../../../etc/passwd\\..\\..\x2f",
    "table": '=cmd|\' /C calc\'!A0\t,;"""',
    "metric": 'x"} 1\npcg_gateways{state="forged"} 99 #\\',
    "link": "javascript:alert(1)//http://x",
    "controls": "".join(chr(code) for code in [*range(1, 32), 127]),
    "combining": "Z" + "\u0301\u0489" * 60,
    "endless": "x" * 100_000,
}
PLAIN = "plain words"


def cut(text: str, most: int) -> str:
    return text[:most]


def unseemly(text: str) -> str:
    """The characters by which a line of a log or of a terminal would do more than be read."""
    return "".join(sorted({symbol for symbol in text if not symbol.isprintable()}))


@dataclass
class Shown(HTMLParser):
    """A page as the browser builds it: every element with the names of its attributes, and every text."""

    html: str
    structure: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.structure.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")]
        self.texts += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.structure.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.structure.append(("!--", ()))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def check_inert(self) -> None:
        """Nothing of what our pages never have, wherever it came from."""
        tags = {tag for tag, _ in self.structure}
        assert not tags & {"iframe", "object", "embed", "svg", "style", "base", "!--", "option", "x"}, tags
        assert [names for tag, names in self.structure if tag == "img"] == [("src", "alt", "width", "height")]
        assert all("src" in names for tag, names in self.structure if tag == "script")
        odd = [name for _, names in self.structure for name in names if name == "style" or name.startswith("on")]
        assert not odd, odd
        away = [place for place in self.addresses if not re.match(r"/(?!/)|#|https://", place)]
        assert not away, away

    @property
    def text(self) -> str:
        return "".join(self.texts)


def event_of(text: str) -> dict[str, Any]:
    """An event in which every text that may be anything is this one."""
    return {
        "at": "2026-06-01T12:00:00Z", "severity": "error", "reason": "told", "step": "template",
        "message": cut(text, 4096), "machine": cut(text, 253), "fields": {cut(text, 300): cut(text, 3000)},
    }  # fmt: skip


def status_of(text: str) -> dict[str, Any]:
    """A status in which every text that may be anything is this one."""
    at = "2026-06-01T12:00:00Z"
    problem = {
        "reason": cut(text, 64), "what": cut(text, 4096), "evidence": [text[:9000]], "cause": cut(text, 4096),
        "remedy": [text[:9000], "another"], "link": cut(text, 512), "fields": {text[:300]: text[:300]}, "at": at,
    }  # fmt: skip
    evidence = {"source": cut(text, 128), "text": cut(text, 4096), "time": at, "file": text[:3000], "line": 1}
    findings = [
        {"scenario": cut(text, 64), "cause": cut(text, 64), "severity": severity.value, "since": at,
         "summary": cut(text, 1024), "evidence": [evidence], "remedy": [text[:9000]], "link": cut(text, 512),
         "cured": cut(text, 1024), "step": StepName.TEMPLATE.value}
        for severity in Severity
    ]  # fmt: skip
    return {
        "generation": 1, "incarnation": 1, "findings": findings,
        "steps": [
            {"name": name.value, "state": StepState.FAILED.value, "since": at, "task": cut(text, 512),
             "last_error": problem, "next_try": at, "seconds": 1.0}
            for name in StepName
        ],
        "machines": [
            {"name": cut(text, 253), "role": MachineRole.CONTROL_PLANE.value, "state": MachineState.READY.value,
             "address": cut(text, 64), "instance": cut(text, 64), "incarnation": 1, "since": at}
        ],
        "conditions": [
            {"name": ConditionName.STALLED.value, "reason": cut(text, 64), "message": cut(text, 4096), "since": at}
        ],
    }  # fmt: skip
