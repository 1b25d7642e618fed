"""The gateway cluster's API server: route, TCP, TLS by the cluster's own CA, and `/readyz?verbose` by failing checks.

`/readyz` may be read without a login (Kubernetes' default role system:public-info-viewer). Called by the plan once the
cluster has formed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pcg.diagnosis.probes.answer import About, Outcome, ProbeAnswer, bounded
from pcg.diagnosis.probes.first_hops import Heard, first_hops
from pcg.diagnosis.probes.tls import probe_tls
from pcg.network.http import call, http_client
from pcg.network.name_queries import NameServer
from pcg.network.trust import Trust

SECONDS = 5.0
PORT = 6443
_FAILED = re.compile(r"^\[-\](?P<check>[\w./-]{1,80}) failed", re.MULTILINE)


async def probe_api_server(
    host: str, port: int, ca: str | None, servers: Sequence[NameServer], heard: Heard, *, seconds: float = SECONDS
) -> None:
    """`ca` is PEM; without it, TLS and what lies behind are not asked."""
    address = await first_hops(About.API_SERVER, host, port, servers, heard)
    if address is None:
        return
    if ca is None:
        tls = ProbeAnswer(About.API_SERVER, "tls", f"{host}:{port}")
        heard(tls.unknown("who answers cannot be proved", needs="the gateway's keys (its state folder)"))
        return
    trust = Trust.only_ca(ca)
    tls = await probe_tls(About.API_SERVER, host, port, address, trust)
    heard(tls)
    if tls.answer is not Outcome.PASSED:
        return
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}"

    async def look(question: ProbeAnswer) -> ProbeAnswer:
        async with http_client(trust, base_url=url, timeout=seconds * 0.9) as client:
            answer = await call(client, "GET", "/readyz?verbose")
        return judge(question, answer.status_code, answer.text)

    question = ProbeAnswer(About.API_SERVER, "readyz", f"{url}/readyz?verbose")
    heard(await bounded(question, look, seconds, silence="http-silent"))


def judge(question: ProbeAnswer, status: int, text: str) -> ProbeAnswer:
    """By the lines `[-]NAME failed: …` of the answer."""
    if status == 200:
        return question.passed("every check is ok")
    if status in (401, 403):
        return question.unknown(f"HTTP {status}", needs="a client certificate: anonymous requests are refused there")
    failing = [found["check"] for found in _FAILED.finditer(text)]
    told = f"failing: {', '.join(failing[:16])}" if failing else "it names no failing check"
    return question.failing("api-server-not-ready", f"HTTP {status}; {told}")
