"""Host names, addresses and users by pseudonyms, the same throughout one bundle. Used by `redaction.py`.

A pseudonym is made from the name by a key that only this object holds, so it is the same in every file and nobody can
go back without the map. Names map label by label: machines of one domain stay in one domain, and words for a role
(`console`, `vcenter`, `proxy`) stay, as do ports.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2s

from pcg.bundle.address_pseudonyms import AddressPseudonyms
from pcg.bundle.known_names import PLAIN_USERS, PUBLIC, ROLES, TOP_LEVELS, WELL_KNOWN
from pcg.bundle.pseudonym_patterns import (
    COLONS,
    DASHED,
    DOTTED,
    IPV4,
    LOGGING_HOST,
    MAC_HYPHENS,
    NAMED_HOST,
    NAMED_HOST_HAS,
    URL_HOST,
    USERS,
    USERS_HAVE,
    WORD,
)
from pcg.bundle.pseudonym_search import AVAILABLE, Search, words

_SHORTEST_LEARNT = 4
_MOST_LEARNT = 5000
_MOST_PUT, _LONGEST_PUT = 50_000, 200


class Pseudonyms:
    """`names`: hosts known beforehand. `key` is drawn when none is given."""

    def __init__(self, names: Iterable[str] = (), key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._addresses = AddressPseudonyms(self._key)
        self._known = dict[bytes, bytes]()
        self._learnt = dict[bytes, bytes]()
        self._colons = lru_cache(65536)(self._of_colons)
        self._host = lru_cache(65536)(self._of_host)
        self._search = Search([*USERS_HAVE, NAMED_HOST_HAS]) if AVAILABLE else None
        self._put = dict[bytes, bytes]()
        """what words become, as long as no more names are learnt"""
        self._put_with = 0
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

    def learn(self, block: bytes) -> None:
        """Names of machines and users in this text, which are then replaced also where they stand alone."""
        self._learn_from(block, self._look(block)[0])

    def text(self, block: bytes) -> bytes:
        """Whole lines in, whole lines out, as many."""
        regions, places = self._look(block)
        telling = self._learn_from(block, regions)
        if self._search is None:
            return self._whole(block, sorted({index for _, _, index in telling}))
        names = self._search.names(block, self._learnt) if self._learnt else []
        everything = sorted([*places, *names])
        done, at = list[bytes](), 0
        for start, end, indexes in _merged(telling):
            done += self._with_words(block, at, start, _between(everything, at, start))
            region, at = block[start:end], end
            if _between(places, start, end + 1):  # also found by the character behind it
                done.append(self._whole(region, indexes))
            else:
                region = self._with_users(region, indexes)
                done.append(WORD.sub(self._word, region) if _between(names, start, end) else region)
        done += self._with_words(block, at, len(block), _between(everything, at, len(block)))
        return b"".join(done)

    def _look(self, block: bytes) -> tuple[Mapping[int, Sequence[tuple[int, int]]], list[int]]:
        if self._search is None:
            return {index: [(0, len(block))] for index in range(len(USERS) + 1)}, []
        return self._search.look(block)

    def _learn_from(self, block: bytes, regions: Mapping[int, Sequence[tuple[int, int]]]) -> list[tuple[int, int, int]]:
        """Returns the regions where a user is, and the pattern by its index."""
        for name in set(LOGGING_HOST.findall(block)):
            self._learn(name)
        for start, end in regions.get(len(USERS), ()):
            for name in {found[1] for found in NAMED_HOST.finditer(block, start, end)}:
                self._learn(name)
        telling = []
        for index, pattern in enumerate(USERS):
            names = set[bytes]()
            for start, end in regions.get(index, ()):
                if found := {one[2] for one in pattern.finditer(block, start, end)}:
                    telling.append((start, end, index))
                    names |= found
            for name in names:
                if name.lower() not in _PLAIN_USERS:
                    self._learn(name, user=True)
        return telling

    def _with_words(self, block: bytes, at: int, end: int, places: Iterable[int]) -> Iterator[bytes]:
        """From one place to another, the words replaced in which something may have to be."""
        if self._put_with != len(self._learnt) or len(self._put) >= _MOST_PUT:
            self._put, self._put_with = {}, len(self._learnt)
        for first, last in words(block, places, at):
            word = block[first:last]
            if (put := self._put.get(word)) is None:
                put = self._whole(word, ())
                if len(word) <= _LONGEST_PUT:
                    self._put[word] = put
            yield block[at:first]
            yield put
            at = last
        yield block[at:end]

    def _with_users(self, block: bytes, indexes: Iterable[int]) -> bytes:
        for index in indexes:
            block = USERS[index].sub(lambda found: found[1] + self._user(found[2]), block)
        return block

    def _whole(self, block: bytes, indexes: Iterable[int]) -> bytes:
        """All of it, with these patterns of users."""
        block = IPV4.sub(self._ipv4, block)
        block = COLONS.sub(lambda found: self._colons(found[0]), block)
        block = MAC_HYPHENS.sub(lambda found: self._mac(found[0], b"-"), block)
        block = self._with_users(block, indexes)
        block = DOTTED.sub(self._dotted, block)
        block = URL_HOST.sub(lambda found: self._host(found[1]), block)
        return WORD.sub(self._word, block) if self._learnt else block

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
        if found := DASHED.search(text):
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


def _between(places: Sequence[int], first: int, end: int) -> Sequence[int]:
    return places[bisect_left(places, first) : bisect_left(places, end)]


def _merged(telling: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, list[int]]]:
    """Regions that do not overlap, with the patterns of each."""
    merged: list[tuple[int, int, list[int]]] = []
    for start, end, index in sorted(telling):
        if merged and start <= merged[-1][1]:
            start, last, indexes = merged.pop()
            merged.append((start, max(end, last), sorted({*indexes, index})))
        else:
            merged.append((start, end, [index]))
    return merged


_MADE = re.compile(rb"h[0-9a-f]{8}|user-[0-9a-f]{8}")
"""a pseudonym, which stays one"""


def _encoded(words: Iterable[str]) -> Iterator[bytes]:
    return (word.encode() for word in words)


_ROLES, _TOP_LEVELS, _PLAIN_USERS = (frozenset(_encoded(words)) for words in (ROLES, TOP_LEVELS, PLAIN_USERS))
_WELL_KNOWN, _PUBLIC = tuple(_encoded(WELL_KNOWN)), tuple(_encoded(PUBLIC))
