"""A Secret that changes under a container that runs: as under a kubelet, its file changes and the container goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from .containers_for_tests import node_with
from .test_pod_environment import SECRETS_PATH, with_secret

pytestmark = pytest.mark.looptime


async def test_a_changed_secret_appears_in_the_volume_of_a_running_container(tmp_path: Path) -> None:
    async with node_with(tmp_path) as (lab, recorded):
        body = {"metadata": {"name": "late"}, "stringData": {"token": "first"}}
        await lab.send("POST", SECRETS_PATH, body)
        await lab.deploy(with_secret(optional=True))
        await lab.until(lambda: lab.running("a"))
        token = Path(recorded.environments[0]["TOKEN_FILE"])
        assert token.read_text() == "first"
        changed = {"metadata": {"name": "late"}, "stringData": {"token": "second", "ca.pem": "another"}}
        assert (await lab.send("PUT", f"{SECRETS_PATH}/late", changed)).status_code == 200

        async def there() -> bool:
            return (token.parent / "ca.pem").exists()

        await lab.until(there, within=5)
        assert (token.read_text(), (token.parent / "ca.pem").read_text()) == ("second", "another")
        assert sorted(path.name for path in token.parent.iterdir()) == ["ca.pem", "token"]
        assert (await lab.send("PUT", f"{SECRETS_PATH}/late", body)).status_code == 200

        async def gone() -> bool:
            return not (token.parent / "ca.pem").exists()

        await lab.until(gone, within=5)
        # Taken away altogether: what is mounted is not needed any more, and the container runs on.
        assert (await lab.send("DELETE", f"{SECRETS_PATH}/late")).status_code == 200
        await lab.until(lambda: lab.running("a"), within=5)
        assert len(recorded.started) == 1
