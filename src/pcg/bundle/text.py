"""Bytes of one log file to blocks of whole lines in UTF-8 (or Latin-1 as it stands), bounded. Used by
`pcg.bundle.reading` and the redactor.

Windows tools write UTF-16 with a mark at the start; it becomes UTF-8. Bytes that are no UTF-8 stay: the line's parser
decodes with replacement. What is not text at all (a binary journal, a core) is refused by its NUL bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from pcg.bundle.limits import LimitReached

_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be", codecs.BOM_UTF8: ""}
_JOURNAL = b"LPKSHHRH"


Parts = list[memoryview]
"""what, one after the other, is a block"""


def text_blocks(
    chunks: Iterator[bytes], line_bytes: int, tell: Callable[[str], None], block_bytes: int = 0
) -> Iterator[bytes]:
    """Whole lines, each ended by a newline but perhaps the last of the file. `tell` says what was cut or refused. A
    line longer than `line_bytes` keeps its beginning. Chunks are gathered until they are `block_bytes`; where a limit
    is reached before, what was gathered is given first."""
    return map(b"".join, text_parts(chunks, line_bytes, tell, block_bytes))


def text_parts(
    chunks: Iterator[bytes], line_bytes: int, tell: Callable[[str], None], block_bytes: int = 0
) -> Iterator[Parts]:
    """As `text_blocks`, for who puts them somewhere else: nearly all of a log's bytes pass here, and are not copied."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 1024:
            break
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "")
    if head.startswith(_JOURNAL):
        tell("a binary journal; export it as text with `journalctl --file`")
        return
    if not encoding and head and not _is_text(head[:1024]):
        tell("not text; not read")
        return
    yield from _lines(_decoded(_joined(head[len(mark) :], chunks), encoding), line_bytes, tell, block_bytes)


def _lines(chunks: Iterator[bytes], line_bytes: int, tell: Callable[[str], None], block_bytes: int) -> Iterator[Parts]:
    rest, skipping, cut = b"", False, 0
    for parts in _gathered(chunks, block_bytes):
        if skipping:  # within a line whose beginning was kept
            while parts and (end := parts[0].find(b"\n")) < 0:
                parts = parts[1:]
            if not parts:
                continue
            parts, skipping = [parts[0][end:], *parts[1:]], False
        whole, rest = _split(rest, parts)
        if len(rest) > line_bytes:
            rest, skipping, cut = rest[:line_bytes], True, cut + 1
        block = [memoryview(part)[:end] for part, end in whole]
        if _may_be_long(whole, line_bytes):
            lines = b"".join(block).split(b"\n")
            cut += sum(len(line) > line_bytes for line in lines)
            block = [memoryview(b"\n".join(line[:line_bytes] for line in lines))]
        if block:
            yield block
        del parts, whole, block  # large, and not needed while the next ones are gathered
    if rest:
        yield [memoryview(rest)]
    if cut:
        tell(f"{cut} lines longer than {line_bytes // 1024} KiB were cut there")


def _split(rest: bytes, parts: list[bytes]) -> tuple[list[tuple[bytes, int]], bytes]:
    """Whole lines, as parts and how much of each, and what begins behind them."""
    for last in range(len(parts) - 1, -1, -1):
        if end := parts[last].rfind(b"\n") + 1:
            whole = [(part, len(part)) for part in (rest, *parts[:last]) if part]
            return [*whole, (parts[last], end)], b"".join((memoryview(parts[last])[end:], *parts[last + 1 :]))
    return [], b"".join((rest, *parts))


def _may_be_long(whole: list[tuple[bytes, int]], line_bytes: int) -> bool:
    """Whether there may be a line that is too long. Within a part, it covers a whole window of half its size: a few
    searches instead of a split."""
    window, before = max(line_bytes // 2, 1), 0
    for part, size in whole:
        first, last = part.find(b"\n", 0, size), part.rfind(b"\n", 0, size)
        if before + (first if last >= 0 else size) > line_bytes:
            return True
        if any(part.find(b"\n", at, at + window) < 0 for at in range(0, size - window, window)):
            return True
        before = size - last - 1 if last >= 0 else before + size
    return False


def _gathered(chunks: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    parts, gathered = list[bytes](), 0
    try:
        for chunk in chunks:
            parts.append(chunk)
            gathered += len(chunk)
            if gathered >= size:
                yield parts
                parts, gathered = [], 0
    except LimitReached:
        if parts:
            yield parts  # what was read before it counts
        raise
    if parts:
        yield parts


def _joined(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _decoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if not encoding:
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.encode("utf-8", "replace")
    if last := decoder.decode(b"", final=True):
        yield last.encode("utf-8", "replace")


def _is_text(head: bytes) -> bool:
    """A machine that lost power leaves some NUL bytes in a log; the rest of it is text."""
    visible = head.translate(None, bytes(range(32)))
    return head.isspace() or (bool(visible) and head.count(b"\0") * 10 < len(head))
