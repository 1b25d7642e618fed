"""The probe `image`: can the node image's first bytes be fetched from here, by the proxies that the import will use?

A request for a range, of which at most as many bytes are read whatever the server sends. Redirects are followed as the
import follows them. Called by the plan of the live diagnosis.
"""

from __future__ import annotations

from urllib.parse import urljoin

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.errors import Unreachable
from pcg.model.configuration import shown_url
from pcg.network.failures import unreachable
from pcg.network.http import http_client, streamed
from pcg.network.proxies import Proxies
from pcg.network.trust import Trust

SECONDS = 8.0
BYTES = 1024
REDIRECTS = 5


async def probe_image(url: str, proxies: Proxies, *, seconds: float = SECONDS) -> ProbeAnswer:
    async def look(question: ProbeAnswer) -> ProbeAnswer:
        at = url
        for _ in range(REDIRECTS + 1):
            status, kind, location = await _first_bytes(at, proxies, seconds / 2)
            if 300 <= status < 400 and location:
                at = urljoin(at, location)
                if at.partition("://")[0] not in ("http", "https"):
                    return question.failing("http-redirect", f"HTTP {status} leads to something that is not HTTP")
                continue
            if status == 206:
                return question.passed(f"HTTP 206: {kind or 'a part'} was fetched")
            if status == 200:
                return question.passed("HTTP 200; it does not serve ranges, so a broken transfer starts over")
            return question.failing(f"http-{status}", f"HTTP {status} from {shown_url(at)}")
        return question.failing("http-redirect", f"more than {REDIRECTS} redirects")

    return await bounded(ProbeAnswer(About.IMAGE, "image", shown_url(url)), look, seconds, silence="http-silent")


async def _first_bytes(url: str, proxies: Proxies, wait: float) -> tuple[int, str, str]:
    """Status, Content-Range and Location. Raises Unreachable, with what a signed URL proves itself with left out."""
    headers = {"Range": f"bytes=0-{BYTES - 1}", "Accept-Encoding": "identity"}
    trust = Trust.system_and(proxies.ca)
    try:
        async with (
            http_client(trust, base_url=url, proxies=proxies, timeout=wait) as client,
            streamed(client, "GET", url, headers=headers) as answer,
        ):
            async for _ in answer.aiter_bytes(BYTES):
                break
            return answer.status_code, answer.headers.get("content-range", ""), answer.headers.get("location", "")
    except Unreachable as error:
        shown = unreachable(
            shown_url(url),
            error.fields["hop"],
            [item for item in error.evidence if url not in item],
            reason=error.reason,
        )
        raise shown from error
