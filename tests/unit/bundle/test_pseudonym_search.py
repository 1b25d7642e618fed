"""Looking only where names may stand replaces exactly what trying every pattern on all of it does."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from log_cases import log_cases
from pcg.bundle import pseudonyms
from pcg.bundle.pseudonyms import Pseudonyms

pytestmark = pytest.mark.skipif(not pseudonyms.AVAILABLE, reason="Hyperscan has no package for this machine")

KEY = b"k" * 32
NAMES = ["acme-esx01", "paris.acme.test"]
PIECES = r"""bob msmith acme-esx01 ACME-ESX01 kube-apiserver-acme-esx01 esx01.paris.acme.test acme.com. node-a x
    10.1.2.3 10.20.16.0/20 1.2.3 256.1.1.1 fe80::250:56ff:fe01:203 ::1 07:12:33 00:50:56:aa:bb:cc 00-50-56-aa-bb-cc
    1:2:3:4:5:6:7:8 2001:db8::7 ip-10-1-2-3 https://jump/ https://acme.io:443 //host @acme.com @ . - / : = , ; ( ) [ ]
    { } < > " ' \ \\ user user: user= User: username owner principal account logname login uname= login= /home/bob
    CORP\bob corp\bob sudo: sudo[12]: accepted failed hostname hostname: sshd[1]: kubelet: k8s.io kubelet.go:671 bob@
    _x % & Feb"""
WORDS = [
    *PIECES.split(),
    "for user ",
    "by user",
    "bob : ",
    " accepted x for ",
    " from",
    "Set hostname to ",
    '\\"',
    r"\n",
]
SPACES = [" ", " ", " ", "\n", "\n", "\t", "\r\n", "", "", "  ", "\n\n", " \n "]
LINES = [
    "Feb  3 07:10:00 acme-esx01 sshd[1]: Accepted publickey for msmith from 10.1.2.3 port 22",
    "2026-02-03T07:10:00.1Z web7 sudo[3]:  bob : TTY=pts/0 ; USER=root",
    "lookup acme-esx01.paris.acme.test on 10.1.2.3:53, mail to msmith@acme.test or (bob@corp.example)",
]


def both(blocks: list[bytes]) -> list[tuple[list[bytes], dict[str, str]]]:
    """What it becomes with and without a search, and the map."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        for available in (True, False):
            patch.setattr(pseudonyms, "AVAILABLE", available)
            one = Pseudonyms(NAMES, KEY)
            told.append(([one.text(block) for block in blocks], one.known))
    return told


@settings(deadline=None, max_examples=300)
@given(
    parts=st.lists(st.tuples(st.sampled_from([*WORDS, *LINES]), st.sampled_from(SPACES)), max_size=40),
    cut=st.integers(0, 40),
)
@example(parts=[("hostname", "\n"), (":", "\n"), ("bob", " ")], cut=0)
@example(parts=[("user", "\n"), ("=", "\n"), ("bob", " ")], cut=0)
@example(parts=[("hostname", "\n"), (":", "\n"), ('"', "\n"), ("<", "\n"), ("bob", " ")], cut=0)
def test_the_same_is_replaced(parts: list[tuple[str, str]], cut: int) -> None:
    blocks = ["".join(word + space for word, space in some).encode() for some in (parts[:cut], parts[cut:])]
    fast, slow = both(blocks)
    assert fast == slow


def test_the_same_is_replaced_in_every_case() -> None:
    lines = [line for case in log_cases() for text in case.files.values() for line in text.splitlines()]
    chance = random.Random(1)
    lines += [chance.choice(LINES) for _ in range(500)]
    lines += [line.replace("node-a", "acme-esx01").replace("ubuntu", "msmith") for line in lines]
    chance.shuffle(lines)
    blocks = ["".join(f"{line}\n" for line in lines[at : at + 700]).encode() for at in range(0, len(lines), 700)]
    fast, slow = both(blocks)
    assert fast == slow
    assert len(fast[1]) > 30


def test_the_gateways_own_process_does_not_load_the_engine() -> None:
    modules = "pcg.gateway.installer, pcg.gateway.agent, pcg.gateway.bundle_answer, pcg.gateway.reconciler"
    code = f"import sys, {modules}; sys.exit('hyperscan' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
