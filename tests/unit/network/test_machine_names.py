"""How this machine resolves names: its hosts file, then its name servers, and never for longer than was said."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from pcg.clouds.lab.edge.name_server import NameServer
from pcg.network import machine_names
from pcg.network.machine_names import MachineLoop, hosts_file_addresses, machine_loop, name_servers_of_machine


def test_the_name_servers_of_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search example.com\nnameserver 192.0.2.1\n# nameserver 192.0.2.9\nnameserver fe80::1%eth0\n")
    assert name_servers_of_machine(path) == (("192.0.2.1", 53), ("fe80::1", 53))
    path.write_text("nameserver nonsense\n" + "".join(f"nameserver 192.0.2.{number}\n" for number in range(9)))
    assert len(name_servers_of_machine(path)) == 3
    assert name_servers_of_machine(tmp_path / "none") == ()


def test_the_hosts_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.9 one.example.com One # two\nnonsense one\n::1 one\n")
    assert hosts_file_addresses("ONE.", path) == ["127.0.0.9", "::1"]
    assert hosts_file_addresses("two", path) == []


def test_the_hosts_file_counts_before_a_name_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.8 known.example.com\n")
    monkeypatch.setattr(machine_names.hosts_file_addresses, "__defaults__", (path,))

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MachineLoop)
        with pytest.raises(socket.gaierror):  # no name server is there at all
            await loop.getaddrinfo("other.example.com", 443)
        server = NameServer({"other.example.com": "127.0.0.9"})
        await server.start()
        host, _, port = server.address.rpartition(":")
        loop.ask([(host, int(port))])
        try:
            for name, address in {"known.example.com": "127.0.0.8", "other.example.com": "127.0.0.9"}.items():
                found = await loop.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
                assert [entry[4] for entry in found] == [(address, 443)]
            only_six = loop.getaddrinfo("known.example.com", 443, family=socket.AF_INET6)
            with pytest.raises(socket.gaierror):
                await only_six
        finally:
            await server.stop()

    with asyncio.Runner(loop_factory=lambda: MachineLoop((), 1.0)) as runner:
        runner.run(ask())


def test_silent_name_servers_hold_nothing_up() -> None:
    async def ask() -> float:
        server = NameServer({})
        server.faults.add("silent")
        await server.start()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MachineLoop)
        host, _, port = server.address.rpartition(":")
        loop.ask([(host, int(port))])
        began = loop.time()
        with pytest.raises(socket.gaierror, match="did not answer"):
            await loop.getaddrinfo("silent.example.com", 443)
        await server.stop()
        return loop.time() - began

    with asyncio.Runner(loop_factory=machine_loop(0.3)) as runner:
        assert runner.run(ask()) < 2
