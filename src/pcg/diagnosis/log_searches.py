"""Has blocks of log lines searched by another process (`log_worker`), while this one reads, unpacks and judges. Used by
the scanner (`log_scan`), where much is to be read.

The blocks lie in memory that both see, so none goes through a pipe. What was found comes back in order. What the other
has no room for is searched here, with the database that it compiled; so is all, if it has ended.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Self

from pcg.diagnosis.log_blocks import Block
from pcg.diagnosis.log_files import LogFile
from pcg.diagnosis.log_hits import TOO_MANY, Hits
from pcg.processes.child import module_command

if TYPE_CHECKING:
    from pcg.diagnosis.log_hyperscan import HyperscanPatterns

_BLOCK_BYTES = 8 << 20
"""at most; memory that is not used is not taken"""
AHEAD = 3
"""blocks that the process is asked for at once"""
_MEMORY_BYTES = (AHEAD + 1) * _BLOCK_BYTES
_LOOK_SECONDS = 0.5
"""between two looks whether to go on waiting"""
_MESSAGE_SECONDS = 10
"""that a message which has begun may stand still"""
_COMMAND = module_command("pcg.diagnosis.log_worker")

_log = logging.getLogger(__name__)


class SearchProcess:
    """To be closed."""

    def __init__(self, patterns: Sequence[str], check: Callable[[], None]) -> None:
        """It makes itself ready, which takes some tenths of a second. `check` raises what ends the waiting early.

        Raises OSError."""
        self._check = check
        self._free = deque(range(0, _MEMORY_BYTES, _BLOCK_BYTES))
        self._given = deque[tuple[Block, Hits | None]]()
        """blocks, and what was found in those that were searched here"""
        self._asked = 0
        self._ended = False
        self._here: HyperscanPatterns | None = None
        with ExitStack() as open_here, ExitStack() as open_on:
            descriptor = os.memfd_create("pcg-logs", os.MFD_CLOEXEC)
            open_here.callback(os.close, descriptor)
            os.ftruncate(descriptor, _MEMORY_BYTES)
            self._shared = open_on.enter_context(mmap.mmap(descriptor, 0))
            answers, others = Pipe()
            self._answers = open_on.enter_context(answers)
            _limit(answers)
            handed = open_here.enter_context(others).fileno(), descriptor
            self._process = subprocess.Popen(
                [*_COMMAND, *map(str, handed)],
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._open = open_on.pop_all()
        self._ask(patterns)

    @classmethod
    def start(cls, patterns: Sequence[str], check: Callable[[], None]) -> Self | None:
        """None where there is no engine that is worth it, or no way to start one."""
        if find_spec("hyperscan") is None or not hasattr(os, "memfd_create") or not sys.executable:
            return None
        try:
            return cls(patterns, check)
        except OSError as error:
            _log.info("logs are searched without a process of its own: %s", error)
            return None

    @property
    def ready(self) -> bool:
        if self._here is None and self._answers.poll() and (compiled := self._receive()) is not None:
            # Only now: it is a large library, there for one kind of processor.
            from pcg.diagnosis.log_hyperscan import HyperscanPatterns

            self._here = HyperscanPatterns.from_bytes(compiled)
        return self._here is not None

    def search(self, file: LogFile, first_line: int, parts: Sequence[bytes | memoryview]) -> Block:
        """When it is ready. The parts are one block, which is valid until it is released. Where the process has enough
        to do, it is searched at once."""
        size = sum(map(len, parts))
        if size > _BLOCK_BYTES:
            block = Block.of(file, first_line, b"".join(parts))
        else:
            block = Block(file, first_line, self._shared, self._free.popleft(), size)
            at = block.base
            for part in parts:
                self._shared[at : at + len(part)] = part
                at += len(part)
            if self._asked < AHEAD:
                self._asked += 1
                self._ask([block.base, size])
                self._given.append((block, None))
                return block
        self._given.append((block, self._search_here(block)))
        return block

    @property
    def due(self) -> bool:
        """Whether `found` need not be waited for, or must be before there is more to search."""
        if not self._given:
            return False
        return len(self._given) > AHEAD or self._given[0][1] is not None or self._answers.poll()

    @property
    def waiting(self) -> bool:
        """Whether there are blocks that `found` has not told of."""
        return bool(self._given)

    def found(self) -> tuple[Block, Hits]:
        """The first of the blocks that were not yet asked for, and what was found. Raises what `check` does."""
        block, hits = self._given.popleft()
        if hits is None:
            self._asked -= 1
            hits = self._answer()
        if hits is None:
            hits = self._search_here(block)
        return block, hits

    def release(self, block: Block) -> None:
        if block.memory is self._shared:
            self._free.append(block.base)

    def _answer(self) -> Hits | None:
        """None if it is to be searched here: the process has ended, or found too much."""
        while not self._ended and not self._answers.poll(_LOOK_SECONDS):
            self._check()
        told = self._receive()
        return None if told is None or told == TOO_MANY else Hits.from_bytes(told)

    def _receive(self) -> bytes | None:
        with self._until_it_ends():
            if not self._ended:
                return self._answers.recv_bytes()
        return None

    def _ask(self, question: Sequence[str | int]) -> None:
        with self._until_it_ends():
            if not self._ended:
                self._answers.send_bytes(json.dumps(question).encode())

    @contextmanager
    def _until_it_ends(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self._ended = True
            self._process.kill()
            _log.info("the process that searched logs has ended: %s", error)

    def _search_here(self, block: Block) -> Hits:
        assert self._here is not None
        with memoryview(block.memory) as memory, memory[block.base : block.base + block.size] as data:
            return self._here.search(data)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._open.close()


def _limit(connection: Connection) -> None:
    """How long one message may take."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", _MESSAGE_SECONDS, 0))
