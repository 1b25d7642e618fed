"""Name servers as a person types them: addresses only, strictly."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from pcg.errors import InvalidInput
from pcg.network.name_servers import ResolvingLoop, loop_factory, parse_name_servers


@pytest.mark.parametrize(
    "typed,expected",
    [
        ("10.0.0.2", (("10.0.0.2", 53),)),
        (
            "10.0.0.2, 10.0.0.3:5353, [fd00::1]:53",
            (("10.0.0.2", 53), ("10.0.0.3", 5353), ("fd00::1", 53)),
        ),
        (" fd00:0::1 ,[fd00::2]", (("fd00::1", 53), ("fd00::2", 53))),
        ("127.0.0.1:65535", (("127.0.0.1", 65535),)),
        ("10.0.0.2:53,10.0.0.2:54", (("10.0.0.2", 53), ("10.0.0.2", 54))),
    ],
)
def test_what_is_a_list_of_name_servers(typed: str, expected: tuple[tuple[str, int], ...]) -> None:
    assert parse_name_servers(typed) == expected


@pytest.mark.parametrize(
    "typed,why",
    [
        ("", "is not an address"),
        (" , ", "is not an address"),
        ("10.0.0.2,", "is not an address"),
        ("10.0.0.2 10.0.0.3", "is not an address"),
        ("dns.example.com", "a name would have to be resolved first"),
        ("dns://10.0.0.2", "is not an address"),
        ("10.0.0", "is not an address"),
        ("10.0.0.256", "is not an address"),
        ("10.0.0.2/24", "is not an address"),
        ("10.0.0.2:", "is not a port"),
        ("10.0.0.2:0", "is not a port"),
        ("10.0.0.2:65536", "is not a port"),
        ("10.0.0.2:５３", "is not a port"),
        ("10.0.0.2:053530", "is not a port"),
        ("[10.0.0.2]:53", "[ADDRESS]:PORT"),
        ("[fd00::1", "[ADDRESS]:PORT"),
        ("[fd00::1]53", "[ADDRESS]:PORT"),
        ("fe80::1%eth0", "is not the address of one machine"),
        ("0.0.0.0", "is not the address of one machine"),
        ("224.0.0.251", "is not the address of one machine"),
        ("10.0.0.2,10.0.0.2:53", "named twice"),
        ("10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4", "no more than 3"),
    ],
)
def test_what_is_none(typed: str, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_name_servers(typed)
    assert (caught.value.reason, caught.value.field_name) == ("name-servers-invalid", "name-servers")
    assert why in caught.value.what


def test_without_name_servers_the_loop_is_the_plain_one() -> None:
    assert loop_factory(()) is asyncio.new_event_loop
    made = loop_factory((("127.0.0.1", 5353),))()
    try:
        assert isinstance(made, ResolvingLoop)
    finally:
        made.close()


def test_who_never_asks_does_not_pay_for_the_library() -> None:
    program = (
        "import asyncio, sys\n"
        "from pcg.network.name_servers import loop_factory, parse_name_servers\n"
        "with asyncio.Runner(loop_factory=loop_factory(parse_name_servers('127.0.0.1:9'))) as runner:\n"
        "    runner.run(runner.get_loop().getaddrinfo('127.0.0.1', 80))\n"
        "sys.exit('dns' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == 0
