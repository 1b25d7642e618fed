"""The way to vCenter, hop by hop: name, route, TCP, TLS by the configured trust, and its API without a login.

vCenter is reached directly, never by a proxy, as the driver does. And the ESXi hosts' port 443, which an image's import
needs beside vCenter. Called by the plan of the live diagnosis.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer, bounded
from pcg.diagnosis.probes.first_hops import Heard, first_hops
from pcg.diagnosis.probes.tls import has_fingerprint, probe_tls, served_leaf
from pcg.model.configuration import Vcenter, split_host_port
from pcg.network.http import call, http_client
from pcg.network.name_queries import NameServer
from pcg.network.trust import Trust

SECONDS = 4.0
PORT = 443
VERSIONS_PATH = "/sdk/vimServiceVersions.xml"
"""which versions of the API are served: readable for everybody (VMware's Web Services SDK Programming Guide)"""
MOST_HOSTS = 16


async def probe_vcenter(vcenter: Vcenter, servers: Sequence[NameServer], heard: Heard) -> None:
    host, port = split_host_port(vcenter.address, PORT)
    address = await first_hops(About.VCENTER, host, port, servers, heard)
    if address is None:
        return
    trust = Trust.only_ca(vcenter.trust.ca) if vcenter.trust.ca else Trust.system()
    tls = await probe_tls(About.VCENTER, host, port, address, trust, thumbprint=vcenter.trust.thumbprint or "")
    heard(tls)
    if tls.answer is not Outcome.PASSED:
        return
    shown = f"[{host}]" if ":" in host else host
    question = ProbeAnswer(About.VCENTER, "http", f"https://{shown}:{port}{VERSIONS_PATH}")

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        known = trust
        if vcenter.trust.thumbprint:
            leaf = await served_leaf(address, port, host)
            if not has_fingerprint(leaf, vcenter.trust.thumbprint):
                return question.failing("certificate-not-trusted", "another certificate than a moment ago is served")
            known = Trust.only_leaf(ssl.DER_cert_to_PEM_cert(leaf))
        async with http_client(known, base_url=f"https://{shown}:{port}", timeout=SECONDS * 0.9) as client:
            answer = await call(client, "GET", VERSIONS_PATH)
        if answer.status_code >= 500:
            return question.failing("http-unavailable", f"answered HTTP {answer.status_code}")
        return question.passed(f"answered HTTP {answer.status_code}")

    heard(await bounded(question, look, SECONDS, silence="http-silent"))


async def probe_hosts(names: Sequence[str], servers: Sequence[NameServer], heard: Heard) -> None:
    """Name, route and TCP 443 of each; nothing is sent."""
    ways = (first_hops(About.HOSTS, *split_host_port(name, PORT), servers, heard) for name in names[:MOST_HOSTS])
    await asyncio.gather(*ways)
