"""Host names, addresses and users by pseudonyms, the same throughout one bundle. Used by `redaction.py`.

A pseudonym is made from the name by a key that only this object holds, so it is the same in every file and nobody can
go back without the map. Names map label by label: machines of one domain stay in one domain, and words for a role
(`console`, `vcenter`, `proxy`) stay, as do ports.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2s

from pcg.bundle.address_pseudonyms import AddressPseudonyms
from pcg.bundle.known_names import PUBLIC, ROLES, TOP_LEVELS, USERS, WELL_KNOWN

_IPV4 = re.compile(rb"(?<![\w.])(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)(?:(/)(\d{1,2})(?!\d))?")
_COLONS = re.compile(rb"(?<![\w:.])(?=[0-9A-Fa-f]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{2,39}(?![\w:])")
_MAC_HYPHENS = re.compile(rb"(?<![\w-])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}(?![\w-])")
_DOTTED = re.compile(rb"(?<![\w.%-])(://|@|=|//)?([A-Za-z0-9_](?:[\w-]{0,62})(?:\.[\w-]{1,63})+)(?![\w-])")
_URL_HOST = re.compile(rb"(?<=://)([A-Za-z][\w-]*)(?=[:/\s\"',)]|$)")
_DASHED = re.compile(r"(?<!\d)(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})(?!\d)")

_USER = r"[A-Za-z_][\w.$+-]*"
_DOMAIN = r"(?:[\w.-]+\\{1,2})?"
_USERS = tuple(
    re.compile(pattern.encode(), re.IGNORECASE)
    for pattern in (
        rf"(/home/)({_USER})",
        rf"(\b(?:user(?:_?name)?|account|principal|logname|ruser|sudo_user|owner)\\*[\"']?\s?[:=]\s?\\*[\"']?{_DOMAIN})({_USER})",
        rf"(\b(?:login|uname)(?:=|\\*[\"']\s?:\s?)\\*[\"']?{_DOMAIN})({_USER})",
        rf"(\buser\s\\*[\"']{_DOMAIN})({_USER})",
        rf"(\b(?:invalid|for|by|of|from) user\s{_DOMAIN})({_USER})",
        rf"(\b(?:accepted|failed) \w+ for (?:invalid user )?)({_USER})(?= from)",
        rf"(\bsudo(?:\[\d+\])?:\s+)({_USER})(?= : )",
        rf"((?-i:\b[A-Z][A-Z0-9.-]{{1,30}})\\{{1,2}})({_USER})",
        rf"(?<![\w@/.+-])()({_USER})(?=@[A-Za-z][\w-]*(?:\.[\w-]+)+)",
    )
)
_HOSTS = (
    re.compile(
        rb"^(?:<\d+>)?[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)? ([\w.-]+) [\w./@+-]+?(?:\[\d+\])?: ",
        re.M,
    ),
    re.compile(
        rb"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d) ([\w.-]+) [\w./@+-]+?(?:\[\d+\])?: ", re.M
    ),
    re.compile(rb"(?:[Ss]et hostname to|[Hh]ostname set to|\bhostname[\"']?\s?[:=]\s?)[\s<\"']*([\w.-]+)"),
)
"""where a name without dots is certain to be a machine's"""

_SHORTEST_LEARNT = 4
_MOST_LEARNT = 5000
_WORD = re.compile(rb"(?<![\w])[A-Za-z][\w]*(?:[-.][\w]+)*")


class Pseudonyms:
    """`names`: hosts known beforehand. `key` is drawn when none is given."""

    def __init__(self, names: Iterable[str] = (), key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._addresses = AddressPseudonyms(self._key)
        self._known = dict[bytes, bytes]()
        self._learnt = dict[bytes, bytes]()
        self._colons = lru_cache(65536)(self._of_colons)
        self._host = lru_cache(65536)(self._of_host)
        for name in names:
            self._learn(name.encode())

    @property
    def known(self) -> dict[str, str]:
        """What each name and address that was met has become."""
        return {
            name.decode("utf-8", "replace"): put.decode("utf-8", "replace")
            for name, put in sorted({**self._known, **self._learnt}.items())
            if name != put
        }

    def learn(self, block: bytes) -> list[re.Pattern[bytes]]:
        """Names of machines and users in this text, which are then replaced also where they stand alone; returns the
        patterns that found a user."""
        for pattern in _HOSTS:
            for name in {found[1] for found in pattern.finditer(block)}:
                self._learn(name)
        telling = []
        for pattern in _USERS:
            names = {found[2] for found in pattern.finditer(block)}
            if names:
                telling.append(pattern)
            for name in names:
                if name.lower() not in _PLAIN_USERS:
                    self._learn(name, user=True)
        return telling

    def text(self, block: bytes) -> bytes:
        """Whole lines in, whole lines out, as many."""
        telling = self.learn(block)
        block = _IPV4.sub(self._ipv4, block)
        block = _COLONS.sub(lambda found: self._colons(found[0]), block)
        block = _MAC_HYPHENS.sub(lambda found: self._mac(found[0], b"-"), block)
        for pattern in telling:
            block = pattern.sub(lambda found: found[1] + self._user(found[2]), block)
        block = _DOTTED.sub(self._dotted, block)
        block = _URL_HOST.sub(lambda found: self._host(found[1]), block)
        return _WORD.sub(self._word, block) if self._learnt else block

    def _learn(self, name: bytes, *, user: bool = False) -> None:
        low = name.rstrip(b".-").lower()
        if low in self._learnt or len(self._learnt) >= _MOST_LEARNT or not low[:1].isalpha():
            return
        short = low if user else low.split(b".")[0]
        put = self._user(short) if user else self._host(short)
        if put != short and len(short) >= _SHORTEST_LEARNT:
            self._learnt[short] = put
        if b"." in low and not user:
            self._learnt[low] = self._host(low)

    def _word(self, found: re.Match[bytes]) -> bytes:
        word = found[0].lower()
        return self._learnt.get(word) or self._parts_learnt(word) or found[0]

    def _parts_learnt(self, word: bytes) -> bytes | None:
        """A static pod is named after its node: `kube-apiserver-NODE`."""
        for cut in (at + 1 for at, symbol in enumerate(word) if symbol in b"-."):
            if put := self._learnt.get(word[cut:]):
                return word[:cut] + put
        return None

    def _ipv4(self, found: re.Match[bytes]) -> bytes:
        try:
            address = ipaddress.IPv4Address(found[1].decode())
        except ValueError:
            return found[0]
        if found[2] and int(found[3]) <= 32:
            put = str(self._addresses.of_network(address, int(found[3]))).encode()
        else:
            put = str(self._addresses.of(address)).encode()
        self._note(found[1], put)
        return put + (b"/" + found[3] if found[2] else b"")

    def _of_colons(self, text: bytes) -> bytes:
        if len(text) == 17 and text[2::3] == b":::::":
            return self._mac(text, b":")
        try:
            address = ipaddress.IPv6Address(text.decode())
        except ValueError:
            return text
        put = str(self._addresses.of(address)).encode()
        self._note(text, put)
        return put

    def _mac(self, text: bytes, separator: bytes) -> bytes:
        """The maker's half stays; broadcast and multicast too."""
        if int(text[:2], 16) & 1 or not text.strip(b"0" + separator):
            return text
        put = text[:9] + separator.join(
            self._hash(b"mac", text.replace(separator, b":").lower(), 6)[at : at + 2] for at in (0, 2, 4)
        )
        self._note(text, put)
        return put

    def _user(self, name: bytes) -> bytes:
        if name.lower() in _PLAIN_USERS or name.lower().startswith(b"systemd-") or _MADE.fullmatch(name):
            return name
        put = b"user-" + self._hash(b"user", name.lower(), 8)
        self._note(name, put)
        return put

    def _dotted(self, found: re.Match[bytes]) -> bytes:
        before, name = found[1] or b"", found[2]
        last = name.rpartition(b".")[2].lower()
        certain = before in (b"://", b"@", b"//") and not last.isdigit()
        return before + (self._host(name) if certain or last in _TOP_LEVELS else name)

    def _of_host(self, name: bytes) -> bytes:
        low = name.lower()
        if (put := self._known.get(low)) is not None:
            return put
        dotted = b"." + low
        if dotted.endswith(_WELL_KNOWN):
            return name
        labels = low.split(b".")
        stay = next((len(one.split(b".")) - 1 for one in _PUBLIC if dotted.endswith(one)), 1 if len(labels) > 1 else 0)
        changed = [self._label(label) for label in labels[: len(labels) - stay]] + labels[len(labels) - stay :]
        put = b".".join(changed)
        if put == low:
            return name
        self._note(low, put)
        return put

    def _label(self, label: bytes) -> bytes:
        text = label.decode("ascii", "replace")
        if found := _DASHED.search(text):
            address = ".".join(found.groups())
            put = self._ipv4_dashed(address)
            return (text[: found.start()] + put + text[found.end() :]).encode()
        return b"-".join(self._part(part) for part in label.split(b"-"))

    def _ipv4_dashed(self, address: str) -> str:
        try:
            return str(self._addresses.of(ipaddress.IPv4Address(address))).replace(".", "-")
        except ValueError:
            return address.replace(".", "-")

    def _part(self, part: bytes) -> bytes:
        letters = part.rstrip(b"0123456789")
        if len(letters) < 2 or letters in _ROLES or _MADE.fullmatch(part):
            return part
        return b"h" + self._hash(b"name", part, 8)

    def _hash(self, kind: bytes, text: bytes, digits: int) -> bytes:
        return blake2s(kind + b"\0" + text, key=self._key, digest_size=8).hexdigest()[:digits].encode()

    def _note(self, name: bytes, put: bytes) -> None:
        if len(self._known) < 200_000:
            self._known[name.lower()] = put


_MADE = re.compile(rb"h[0-9a-f]{8}|user-[0-9a-f]{8}")
"""a pseudonym, which stays one"""


def _encoded(words: Iterable[str]) -> Iterator[bytes]:
    return (word.encode() for word in words)


_ROLES, _TOP_LEVELS, _PLAIN_USERS = (frozenset(_encoded(words)) for words in (ROLES, TOP_LEVELS, USERS))
_WELL_KNOWN, _PUBLIC = tuple(_encoded(WELL_KNOWN)), tuple(_encoded(PUBLIC))
