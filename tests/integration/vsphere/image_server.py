"""A small OVA and a loopback web server that serves it: slowly, brokenly, or changed, as a test wants."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

DISK = bytes(range(256)) * 8192
"""2 MiB"""
_DESCRIPTOR = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:href="disk1.vmdk" ovf:id="file1" ovf:size="{size}"/></References>
  <DiskSection><Info>Disks</Info><Disk ovf:capacity="20" ovf:capacityAllocationUnits="byte * 2^30"
    ovf:diskId="vmdisk1" ovf:fileRef="file1"
    ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <NetworkSection><Info>Networks</Info><Network ovf:name="builder net"><Description/></Network></NetworkSection>
  <VirtualSystem ovf:id="node"><Info>Node</Info><Name>node</Name>
    <OperatingSystemSection ovf:id="94"><Info>Ubuntu</Info></OperatingSystemSection>
    <VirtualHardwareSection><Info>Hardware</Info>
      <System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
      <Item><rasd:ElementName>2 CPUs</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:ElementName>2 GiB</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
      <Item><rasd:ElementName>SCSI</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>7</rasd:AddressOnParent><rasd:Connection>builder net</rasd:Connection>
        <rasd:ElementName>Net</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def archive(members: list[tuple[str, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def small_ova(disk: bytes = DISK, *, manifest_of: bytes | None = None) -> bytes:
    """`manifest_of`: the disk that the manifest's sum is of, when that shall be another."""
    descriptor = _DESCRIPTOR.format(size=len(disk)).encode()
    sums = [
        f"SHA256(node.ovf)= {hashlib.sha256(descriptor).hexdigest()}",
        f"SHA256(disk1.vmdk)= {hashlib.sha256(disk if manifest_of is None else manifest_of).hexdigest()}",
    ]
    return archive([("node.ovf", descriptor), ("node.mf", "\n".join(sums).encode()), ("disk1.vmdk", disk)])


@dataclass
class ImageServer:
    """`breaks` are positions in the image at which the connection is cut, one a request; `hold` stops at a position."""

    content: bytes
    url: str = ""
    tag: str = '"one"'
    ranges: bool = True
    breaks: list[int] = field(default_factory=list)
    hold: int | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[int] = field(default_factory=list)
    """the first byte of each answer"""
    served: int = 0
    status: int = 200
    redirect: str = ""
    """where the next request is sent to"""
    asked: list[str] = field(default_factory=list)
    """first lines of the requests"""
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            self.asked.append(head.split("\r\n")[0])
            await self._answer(headers, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        total = len(self.content)
        if self.redirect:
            to, self.redirect = self.redirect, ""
            writer.write(f"HTTP/1.1 302 F\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        if self.status != 200:
            writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        start = 0
        if self.ranges and "range" in headers and headers.get("if-range") == self.tag:
            start = int(headers["range"].removeprefix("bytes=").rstrip("-"))
        self.requests.append(start)
        told = f"HTTP/1.1 206 P\r\nContent-Range: bytes {start}-{total - 1}/{total}" if start else "HTTP/1.1 200 OK"
        told += f"\r\nContent-Length: {total - start}\r\nETag: {self.tag}\r\nConnection: close\r\n\r\n"
        writer.write(told.encode())
        end = self.breaks.pop(0) if self.breaks else total
        at = start
        while at < end:
            if self.hold is not None and at >= self.hold:
                self.held.set()
                await self.go_on.wait()
            piece = self.content[at : min(at + 16384, end)]
            writer.write(piece)
            await writer.drain()
            at += len(piece)
            self.served += len(piece)
        if end < total:
            await asyncio.sleep(0.05)  # else the reset overtakes what was sent
            writer.transport.abort()


@asynccontextmanager
async def image_server(content: bytes | None = None) -> AsyncIterator[ImageServer]:
    served = ImageServer(small_ova() if content is None else content)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/node-1.30.ova"
    try:
        yield served
    finally:
        served.go_on.set()
        server.close()
        await server.wait_closed()
        if served.serving:
            await asyncio.wait(served.serving, timeout=10)
