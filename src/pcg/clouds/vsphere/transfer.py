"""One image on its way: descriptor to import specification, disks to the lease's devices, every sum compared.

Used by `images.py` for one attempt. The lease is not completed here: whoever calls does that after `send` returned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from pcg.clouds.vsphere import image_failures, ova, ovf
from pcg.clouds.vsphere.downloads import Source
from pcg.clouds.vsphere.leases import Lease, call
from pcg.clouds.vsphere.ova import MalformedOva, Member, OvaReader, Sums
from pcg.clouds.vsphere.session import VsphereSession
from pcg.clouds.vsphere.survey import Place
from pcg.clouds.vsphere.vmomi import vim
from pcg.errors import AskPerson, PcgError, TryAgain
from pcg.model.configuration import Template, shown_url

ANNOTATION = "Node image, imported by a private cloud gateway from {image}. Do not change it by hand."


class Transfer:
    def __init__(
        self, session: VsphereSession, wanted: Template, source: Source, pieces: AsyncGenerator[bytes, None]
    ) -> None:
        self._session = session
        self._wanted = wanted
        self._source = source
        self._reader = OvaReader(pieces)
        self._items: dict[str, Any] = {}
        """vCenter's OvfFileItem by file name: what it wants to be sent"""
        self._descriptor = ""
        self._sums: dict[str, Sums] = {}
        self._manifest: dict[str, tuple[str, str]] | None = None

    @property
    def position(self) -> int:
        """bytes of the image that have been read"""
        return self._reader.position

    @property
    def percent(self) -> int:
        return min(99, 100 * self.position // self._source.total) if self._source.total else 0

    async def import_spec(self, place: Place, name: str, marks: dict[str, str]) -> Any:
        """Reads the descriptor, and no further. Raises MalformedOva and the contract's errors."""
        member = await self._reader.next()
        if member is None or not member.name.lower().endswith(".ovf"):
            raise MalformedOva("its first file is no OVF descriptor")
        document = await self._reader.read(ova.MAXIMUM_DESCRIPTOR_BYTES)
        self._descriptor = member.name
        sums = self._sums[member.name] = Sums(member.name, None)
        sums.update(document)
        descriptor = ovf.parse(document)
        answer = await call(self._session, self._ask_spec, descriptor, place, name)
        spec = answer.importSpec
        if answer.error or spec is None:
            raise image_failures.refused(self._wanted.image, [_message(one) for one in answer.error or []])
        if not isinstance(spec, vim.vm.VmImportSpec):
            raise image_failures.refused(self._wanted.image, ["it is a vApp, not a single machine"])
        self._items = {item.path: item for item in answer.fileItem or []}
        missing = set(self._items) - set(descriptor.files)
        if missing:
            raise MalformedOva(f"its descriptor names no file {min(missing)}")
        settings = [vim.option.OptionValue(key=key, value=value) for key, value in marks.items()]
        spec.configSpec.extraConfig = [*(spec.configSpec.extraConfig or []), *settings]
        spec.configSpec.annotation = ANNOTATION.format(image=shown_url(self._wanted.image))
        return spec

    def _ask_spec(self, descriptor: ovf.Descriptor, place: Place, name: str) -> Any:
        networks = [
            vim.OvfManager.NetworkMapping(name=network, network=place.network.object) for network in descriptor.networks
        ]
        parameters = vim.OvfManager.CreateImportSpecParams(
            locale="", deploymentOption="", entityName=name, networkMapping=networks, diskProvisioning="thin"
        )
        manager = self._session.content.ovfManager
        return manager.CreateImportSpec(descriptor.text, place.pool.object, place.datastore.object, parameters)

    async def send(self, lease: Lease) -> None:
        """Every disk, while the lease is kept alive, then every sum. Whichever of both fails ends the other."""
        sending = asyncio.ensure_future(self._send_all(lease))
        keeping = asyncio.ensure_future(lease.keep_alive(lambda: self.percent))
        try:
            await asyncio.wait([sending, keeping], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await self._explained(lease, sending)
            else:
                raise self._of_lease(keeping.exception())
        finally:
            for task in (sending, keeping):
                task.cancel()
            await asyncio.wait([sending, keeping])
            for task in (sending, keeping):
                if not task.cancelled():
                    task.exception()  # told already, or of the one that was ended

    async def complete(self, lease: Lease) -> None:
        """After `send`. A lease that failed at the last moment is an interruption too."""
        try:
            await lease.complete()
        except PcgError as error:
            raise self._of_lease(error) from error

    async def _explained(self, lease: Lease, sending: asyncio.Future[None]) -> None:
        """A connection that broke says little; the lease often knows why."""
        try:
            await sending
        except TryAgain as error:
            if error.reason == "image-transfer-interrupted":
                try:
                    await lease.failure_or_state()
                except AskPerson:
                    raise
                except PcgError as why:
                    error.evidence += why.evidence
            raise

    def _of_lease(self, cause: BaseException | None) -> PcgError:
        """What only a person can change stays as it is; everything else is worth another attempt."""
        if isinstance(cause, AskPerson):
            return cause
        evidence = cause.evidence if isinstance(cause, PcgError) else [f"{type(cause).__name__}: {cause}"]
        error = image_failures.interrupted(self._wanted.image, self.position, self._source.total, evidence)
        error.__cause__ = cause
        return error

    async def _send_all(self, lease: Lease) -> None:
        left = dict(self._items)
        while (member := await self._reader.next()) is not None:
            if member.name.lower().endswith(".mf") and self._manifest is None:
                self._manifest = ova.parse_manifest(await self._reader.read(ova.MAXIMUM_MANIFEST_BYTES))
                continue
            item = left.pop(member.name, None)
            if item is not None:
                await self._send(lease, item, member)
        if left:
            raise MalformedOva(f"the file {min(left)} is missing in it")
        await self._reader.finish()
        self._compare()

    async def _send(self, lease: Lease, item: Any, member: Member) -> None:
        device = lease.devices.get(str(item.deviceId))
        if device is None:
            raise TryAgain(f"vCenter gives no place for {member.name}.", reason="image-lease-failed")
        sums = self._sums[member.name] = Sums(member.name, self._manifest)

        async def pieces() -> AsyncGenerator[bytes, None]:
            async for piece in self._reader.content():
                await asyncio.to_thread(sums.update, piece)
                yield piece

        async with contextlib.aclosing(pieces()) as content:
            await lease.send(self._wanted.image, device, bool(item.create), member.size, content)

    def _compare(self) -> None:
        found = self._reader.sha256
        if self._wanted.sha256 and found != self._wanted.sha256:
            raise image_failures.checksum_wrong(self._wanted.image, "The node image", self._wanted.sha256, found)
        for name, (algorithm, wanted) in (self._manifest or {}).items():
            if name in self._sums and self._sums[name].found(algorithm) != wanted:
                found = self._sums[name].found(algorithm)
                raise image_failures.checksum_wrong(self._wanted.image, f"The image's file {name}", wanted, found)


def _message(fault: Any) -> str:
    return str(getattr(fault, "localizedMessage", "") or getattr(fault, "msg", "") or type(fault).__name__)[:300]
