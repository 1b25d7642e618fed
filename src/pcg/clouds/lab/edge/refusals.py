"""Counts whom the kernel refuses at a port where nobody listens: such a connection never comes to any process of ours.

Linux tells whoever asks of each TCP socket that ends (sock_diag(7), the multicast group of destroyed sockets; no right
is needed). One that was connecting to our port, and is not the far end of a connection that we accepted, was refused.
For `listener` and `forward_proxy`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct

_SOCK_DIAG = 4
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_DESTROYED = {socket.AF_INET: 1, socket.AF_INET6: 3}
"""groups, by family (linux/sock_diag.h)"""
_HEADER = struct.Struct("=IHHII")
_PORTS_AT = 20
_ADDRESS_AT = 40
"""of inet_diag_msg behind the header: its own port and the peer's, and the peer's address (linux/inet_diag.h)"""
_ADDRESS_SIZE = 16
_PIECE = 65536


class Refusals:
    """From `begin` to `end`, any number of times; `count` is of all of them together.

    Where the kernel tells nobody (another system than Linux, a sandbox) nothing can count them: `begin` counts one, for
    all that come until `end`.
    """

    def __init__(self, host: str, port: int) -> None:
        self._count = 0
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._address = socket.inet_pton(self._family, host)
        self._port = port
        self._accepted: set[int] = set()
        """clients' ports, until it is seen that they have ended"""
        self._told: socket.socket | None = None

    @property
    def count(self) -> int:
        """The kernel tells a moment after a client has closed what was refused to it."""
        if self._told is not None:
            self._hear(self._told)
        return self._count

    def accepted(self, port: int) -> None:
        """That port of a client is of a connection that we have: it ends some day, but was not refused."""
        self._accepted.add(port)

    def begin(self) -> None:
        """Before the port is closed."""
        if self._told is not None:
            return
        try:
            told = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
        except (AttributeError, OSError):
            self._count += 1
            return
        try:
            told.setblocking(False)
            told.bind((0, 0))
            told.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _DESTROYED[self._family])
        except OSError:
            told.close()
            self._count += 1
            return
        self._told = told
        asyncio.get_running_loop().add_reader(told.fileno(), self._hear, told)

    def end(self) -> None:
        if self._told is not None:
            self._hear(self._told)
            asyncio.get_running_loop().remove_reader(self._told.fileno())
            self._told.close()
            self._told = None

    def _hear(self, told: socket.socket) -> None:
        while True:
            try:
                message = told.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # more ended at once than the kernel keeps for us
            self._read(message)

    def _read(self, message: bytes) -> None:
        while len(message) >= _ADDRESS_AT + _ADDRESS_SIZE:
            size = max(_HEADER.unpack_from(message)[0], _HEADER.size)
            own, peer = struct.unpack_from("!HH", message, _PORTS_AT)
            address = message[_ADDRESS_AT : _ADDRESS_AT + len(self._address)]
            if (address, peer) == (self._address, self._port):
                self._count += own not in self._accepted
                self._accepted.discard(own)
            message = message[(size + 3) & ~3 :]
