"""The processes of a whole product on one machine: console, data center, installer. Each can be killed and started
again with its own data. Used by `pcg demo`, by drills, by the benchmarks, and by the tests that kill for real.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pcg.cli.client import Login
from pcg.cli.login import sign_in
from pcg.errors import PcgError
from pcg.processes.child import Child, module_command, start

ADMIN_EMAIL = "admin@demo.local"
ACCOUNT = "svc-pcg@vsphere.local"
START_SECONDS = 60.0
"""within which a part must say that it is ready; the vendor simulator may have to be built first"""
BUILD_SECONDS = 300.0


class Part:
    """One process that I keep: its command, and what it printed on its standard output while it lived."""

    def __init__(
        self, name: str, arguments: list[str], environment: dict[str, str], log: Path, on_line: Callable[[str], None]
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._environment = environment
        self._on_line = on_line
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.child: Child | None = None

    async def start(self) -> None:
        self._lines = asyncio.Queue()
        lines = self._lines

        def heard(stream: str, line: str) -> None:
            with self.log.open("a") as file:
                file.write(line + "\n")
            if stream == "stdout":
                lines.put_nowait(line)
            self._on_line(line)

        command = module_command("pcg.cli.main", *self._arguments)
        self.child = await start(command, {**os.environ, **self._environment}, heard)

    async def line(self, accept: Callable[[str], bool], within: float) -> str:
        """The first line of its output that is accepted. Raises PcgError when it ends or stays silent."""
        assert self.child is not None
        ended = asyncio.ensure_future(self.child.wait())
        try:
            async with asyncio.timeout(within):
                while True:
                    heard = asyncio.ensure_future(self._lines.get())
                    await asyncio.wait({heard, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if not heard.done():
                        heard.cancel()
                        raise self._silent(f"it ended with {ended.result()}")
                    line = heard.result()
                    if line is not None and accept(line):
                        return line
        except TimeoutError:
            raise self._silent(f"it was not ready within {within:g} seconds") from None
        finally:
            ended.cancel()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to whatever of its group is left."""
        if self.child is not None:
            await self.child.stop()

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.child is not None:
            await self.child.kill()

    def _silent(self, why: str) -> PcgError:
        tail = self.log.read_text(errors="replace").splitlines()[-8:] if self.log.exists() else []
        return PcgError(f"The {self.name} did not start: {why}.", reason="part-not-started", evidence=tail)


class Stack:
    """All parts of one product in one folder. `await start_…` in the order of use; `close` leaves nothing."""

    def __init__(
        self, *, cloud: str, speed: float, folder: Path | None = None, on_line: Callable[[str, str], None] | None = None
    ) -> None:
        self.cloud = cloud
        self.speed = speed
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pcg-demo-"))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.parts: dict[str, Part] = {}
        self.data_center: dict[str, Any] = {}
        self.console_url = ""
        self.console_options: list[str] = []
        """more of `pcg console serve`"""
        self.data_center_options: list[str] = []
        """more of `pcg simulate`"""
        self.endpoint = ""
        """what the installer is told; default: the console's own URL"""
        self.installer_options: list[str] = []
        """more of `pcg install`"""
        self.jet_speed = speed
        self.installer_environment: dict[str, str] = {}
        """more than this process's own"""
        self.ca_pin = ""
        self.password = secrets.token_urlsafe(12)
        self.cloud_password = secrets.token_urlsafe(12)
        self._on_line = on_line or (lambda name, line: None)

    def watch(self, on_line: Callable[[str, str], None]) -> None:
        """Hear every line of the parts that are started from now on: the part's name, and the line."""
        self._on_line = on_line

    async def start_console(self) -> None:
        listen = self.console_url.removeprefix("https://") or "127.0.0.1:0"
        environment = {"PCG_ADMIN_EMAIL": ADMIN_EMAIL, "PCG_ADMIN_PASSWORD": self.password}
        data = self.folder / "console"
        arguments = ["console", "serve", "--listen", listen, "--data", str(data), *self.console_options]
        part = await self._start("console", arguments, environment)
        line = await part.line(lambda line: line.startswith("console ready at "), START_SECONDS)
        self.console_url = line.removeprefix("console ready at ").strip()

    async def start_data_center(self) -> None:
        listen = str(self.data_center.get("listen") or "127.0.0.1:0")
        password = self.folder / "cloud-password"
        password.write_text(self.cloud_password)
        arguments = ["simulate", "--cloud", self.cloud, "--listen", listen, "--state", str(self.folder / "data-center")]
        arguments += ["--speed", f"{self.speed:g}", "--username", ACCOUNT, "--password-file", str(password)]
        arguments += self.data_center_options
        part = await self._start("data center", arguments, {})
        within = BUILD_SECONDS if self.cloud == "vsphere" else START_SECONDS
        self.data_center = json.loads(await part.line(lambda line: line.startswith("{"), within))
        self.data_center["listen"] = self.data_center["ready"].removeprefix("https://").rstrip("/")

    async def login(self) -> Login:
        """Sign in as the first administrator, over the CA that the console made for itself in this very folder."""
        from pcg.network.pins import spki_pin

        # The folder is ours, so its CA may be read from there: an operator reads the pin from the console's output.
        self.ca_pin = spki_pin((self.folder / "console" / "ca.pem").read_text())
        return await sign_in(self.console_url, self.ca_pin, ADMIN_EMAIL, self.password)

    async def start_installer(self, pairing_code: str | None, *, bare: bool = False) -> None:
        """With the code at first; started again it knows who it is. `bare`: without a word about the console."""
        arguments = ["install", "--state", str(self.folder / "gateway"), "--name", "demo installer"]
        if not bare:
            arguments += ["--endpoint", self.endpoint or self.console_url, "--ca-pin", self.ca_pin]
        arguments += ["--jet-speed", f"{self.jet_speed:g}", "--machine-speed", f"{self.speed:g}"]
        arguments += self.installer_options
        if pairing_code:
            code = self.folder / "pairing-code"
            code.touch(mode=0o600)
            code.write_text(pairing_code)
            arguments += ["--pairing-code-file", str(code)]
        await self._start("installer", arguments, self.installer_environment)

    async def restart(self, names: Sequence[str]) -> None:
        """Start parts that were killed again, at the same addresses and with what they have on disk."""
        starts = {"console": self.start_console, "data center": self.start_data_center}
        await asyncio.gather(*(starts[name]() for name in names if name in starts))
        if "installer" in names:
            await self.start_installer(None)

    async def close(self) -> None:
        """Stop every process and remove the folder."""
        for name in ("installer", "console", "data center"):
            if name in self.parts:
                await self.parts[name].stop()
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    async def _start(self, name: str, arguments: list[str], environment: dict[str, str]) -> Part:
        log = self.folder / f"{name.replace(' ', '-')}.log"
        part = Part(name, arguments, environment, log, lambda line: self._on_line(name, line))
        self.parts[name] = part
        await part.start()
        return part

    def configuration(self, nodes: int) -> dict[str, Any]:
        """What the demo asks of its gateway."""
        network: dict[str, Any] = {"addresses": {"dhcp": {}}, "nameServers": [], "ntpServers": []}
        if nodes == 3:
            network["controlPlaneAddress"] = self.data_center["control_plane_address"]
        return {
            "cloud": self.cloud,
            "vcenter": {
                "address": self.data_center["listen"],
                "trust": {"thumbprint": self.data_center["thumbprint"]},
                "username": ACCOUNT,
            },
            "placement": [self.data_center["placement"]],
            "template": {
                "folder": "spectro-templates",
                "image": self.data_center["image"],
                "sha256": self.data_center.get("image_sha256"),
            },
            "nodes": {"count": nodes, "size": "small"},
            "network": network,
        }
