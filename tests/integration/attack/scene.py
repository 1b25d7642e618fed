"""What every thief finds: a console with people, a gateway that works, its sealed password, and codes in all states."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from integration.gateway_console.conftest import EMAIL, PASSWORD, Console, Gateway, until
from pcg.model.configuration import parse_configuration
from pcg.network.trust import Trust
from pcg.sealing import pairing_code
from pcg.sealing.boxes import open_sealed, seal_credentials

VCENTER_PASSWORD = "vCenter-Gruyere-42-altogether"
CONFIGURATION: dict[str, Any] = {
    "cloud": "simulated",
    "vcenter": {"address": "127.0.0.1:9443", "username": "svc-pcg"},
    "placement": [{"datacenter": "dc-1", "cluster": "c-1", "datastore": "ds-1", "network": "VM Network"}],
    "template": {"image": "https://127.0.0.1/node-1.30.ova"},
    "nodes": {"count": 1, "size": "small"},
}


@dataclass
class Scene:
    console: Console
    gateway: Gateway
    used_code: str
    unused_code: str
    unused_gateway: str
    """the id of the gateway for which it was made"""
    api_key: str
    cookie: str

    @property
    def gateway_id(self) -> str:
        return self.gateway.registration.gateway_id

    @property
    def jet_token(self) -> bytes:
        sealed = self.gateway.wanted[-1].jet_token
        assert sealed is not None
        return open_sealed(self.gateway.keys.opening, sealed)

    def secrets(self) -> dict[str, bytes]:
        """Everything that nobody may learn from the console."""
        keys = self.gateway.keys
        secrets = {
            "gateway's signing key": bytes(keys.signing),
            "gateway's opening key": bytes(keys.opening),
            "seed of the cluster": keys.cluster_seed,
            "API key": self.api_key.encode(),
            "API key without its prefix": self.api_key.partition("_")[2].encode() or self.api_key.encode(),
            "session cookie": self.cookie.encode(),
            "password of a person": PASSWORD.encode(),
            "jet's token": self.jet_token,
            "jet's token without its prefix": self.jet_token.removeprefix(b"jet_"),
            "password of vCenter": VCENTER_PASSWORD.encode(),
        }
        for name, code in (("used", self.used_code), ("unused", self.unused_code)):
            secrets |= secrets_of_code(name, code)
        return secrets

    def steal(self, folder: Path) -> Path:
        """A copy of all that the console keeps, while it runs."""
        return Path(shutil.copytree(self.console.data, folder))


def secrets_of_code(name: str, code: str) -> dict[str, bytes]:
    """The code as it is shown and as it is understood, the seed that is derived from it, and its parts."""
    parsed = pairing_code.parse(code)
    return {
        f"{name} code as shown": code.encode(),
        f"{name} code": parsed.encode(),
        f"{name} code in small letters": code.lower().encode(),
        f"{name} code's first half": code[:11].encode(),
        f"{name} code's second half": code[12:].encode(),
        f"{name} code's seed": bytes(pairing_code.signing_key(code)),
    }


async def configure(console: Console, gateway: Gateway, document: dict[str, Any] = CONFIGURATION) -> None:
    """As `pcg gateway configure` does it: the password is sealed before it leaves."""
    path = f"/gateways/{gateway.registration.gateway_id}"
    configuration, _ = parse_configuration(document)
    key = (await console.get(path))["sealing_key"]
    sealed = seal_credentials(key, gateway.registration.gateway_id, configuration.vcenter, VCENTER_PASSWORD)
    answer = await console.client.put(f"{path}/credentials", json={"ciphertext": sealed})
    assert answer.status_code == 200, answer.text
    answer = await console.client.put(f"{path}/configuration", json=document)
    assert answer.status_code == 200, answer.text
    await until(lambda: gateway.wanted and gateway.wanted[-1].configuration, "the configuration")
    await until(lambda: gateway.wanted[-1].credentials, "the credentials")


async def set_up(console: Console, gateway: Gateway, used_code: str) -> Scene:
    await gateway.up()
    await configure(console, gateway)
    unused = await console.create("second")
    accounts = console.service.accounts
    signed_in = await accounts.sign_in(EMAIL, PASSWORD)
    key = await accounts.create_key(await accounts.check_password(EMAIL, PASSWORD), "stolen")
    gateway.happen("it began")
    async with asyncio.timeout(20):
        while not await console.messages(gateway.registration.gateway_id):
            await asyncio.sleep(0.02)
    return Scene(console, gateway, used_code, unused["pairing_code"], unused["gateway"]["id"], key.key, signed_in.token)


def stranger(console: Console, **headers: str) -> httpx.AsyncClient:
    """Somebody without any right."""
    origin = str(console.client.base_url).partition("/api")[0]
    return httpx.AsyncClient(base_url=origin, verify=Trust.only_ca(console.ca).context(), headers=headers)
