"""What is made of etcd's answers. The server here is a mock that says what etcd's JSON gateway does."""

from __future__ import annotations

import pytest

from pcg.errors import TryAgain
from pcg.gateway.etcd_api import EtcdApi
from pcg.network.plain_httpx import httpx

MEMBERS = [
    {"ID": "1", "name": "node-1", "peerURLs": ["https://10.0.0.1:2380"]},
    {"ID": "2", "name": "node-2", "peerURLs": ["https://10.0.0.2:2380"], "isLearner": False},
    {"ID": "3", "name": "node-3", "peerURLs": ["https://10.0.0.3:2380"], "isLearner": True},
    {"ID": "4", "peerURLs": ["https://10.0.0.4:2380"], "isLearner": True},
]


def etcd_of(status: int, document: object) -> httpx.AsyncClient:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json=document))
    return httpx.AsyncClient(transport=transport, base_url="https://etcd:2379")


async def test_a_learner_is_a_member_without_a_vote() -> None:
    async with etcd_of(200, {"members": MEMBERS}) as client:
        etcd = EtcdApi(client)
        assert await etcd.members() == {"node-1": "1", "node-2": "2", "node-3": "3"}
        assert await etcd.voters() == {"node-1", "node-2"}
        assert await etcd.never_started() == {"10.0.0.4": "4"}


@pytest.mark.parametrize(
    "document", [{"message": "etcdserver: no leader"}, {"error": "no leader"}, ["no leader"], None]
)
async def test_a_refusal_is_told_in_the_server_s_words(document: object) -> None:
    async with etcd_of(503, document) as client:
        with pytest.raises(TryAgain) as refused:
            await EtcdApi(client).voters()
    assert refused.value.reason == "etcd-refused"
    assert "HTTP 503" in refused.value.evidence[0]
