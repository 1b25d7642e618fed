"""One powered-on machine, from firmware to node, as a person would watch it on its console.

Boot, cloud-init's four stages on exactly what the machine was given, then whatever its commands made of it. Cancelling
`run` is pulling the plug. Made by the runner for each boot.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from dataclasses import replace

from pcg.clouds.guest.cloud_init_modules import run_module, semaphore, write_network
from pcg.clouds.guest.cluster import Cluster
from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.guest_network import bring_up
from pcg.clouds.guest.hypervisor import GuestMachine
from pcg.clouds.guest.kubeadm import KUBELET_CONF, Kubeadm
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.node import REGISTRATION_FILE, Node
from pcg.clouds.guest.shell import Shell
from pcg.clouds.guest.user_data import (
    MetaData,
    NetworkConfig,
    UserData,
    commands_to_run,
    delivered,
    files_to_write,
    parse_meta_data,
    parse_user_data,
)
from pcg.errors import InvalidInput

DATA_SOURCE = "DataSourceVMware [seed=guestinfo]"


class Guest:
    """One boot of one machine."""

    def __init__(self, machine: GuestMachine, disk: MachineDisk, environment: Environment) -> None:
        self._machine = replace(machine, user_data=delivered(machine.user_data), meta_data=delivered(machine.meta_data))
        self._disk = disk
        self._environment = environment
        self._logs = GuestLogs(disk.folder, environment.clock, environment.speed)
        self._address = ""
        self._host_name = "ubuntu"
        self._dhcp: bool | None = None
        self._node: Node | None = None
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Until nothing is left to do for this machine; for a node that is never."""
        try:
            async with self._group:
                await self._kernel()
                given = await self._local_stage()
                if given is None:
                    return
                await self._network_stage(given)
                was_node = self._disk.exists(KUBELET_CONF)
                if was_node:
                    await self._start_finished_node()
                await self._modules(given)
        finally:
            if self._node is not None:
                self._node.close()

    async def _kernel(self) -> None:
        began = self._environment.clock.monotonic()
        self._logs.kernel("Linux version 5.15.0-107-generic (buildd@lcy02-amd64-017) (gcc 11.4.0) #117-Ubuntu SMP")
        self._logs.kernel(
            "Command line: BOOT_IMAGE=/boot/vmlinuz-5.15.0-107-generic root=LABEL=cloudimg-rootfs ro quiet"
        )
        self._logs.kernel("DMI: VMware, Inc. VMware Virtual Platform/440BX Desktop Reference Platform, BIOS 6.00")
        await self._environment.take(self._environment.durations.kernel)
        self._logs.kernel("EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: (null). Quota mode: none.")
        self._logs.system("systemd", "Started Service for virtual machines hosted on VMware.", 1)
        await self._report(None)
        await self._environment.record(self._machine.id, "boot", began)

    async def _local_stage(self) -> MetaData | None:
        """The data source; None when there is none, or none that can be read."""
        began = self._environment.clock.monotonic()
        self._logs.stage("init-local")
        await self._environment.take(self._environment.durations.cloud_init_local)
        for key, value in (("metadata", self._machine.meta_data), ("userdata", self._machine.user_data)):
            self._logs.cloud_init("DataSourceVMware.py", "DEBUG", f"Getting guestinfo value for key {key}")
            if value is None:
                self._logs.cloud_init("DataSourceVMware.py", "DEBUG", f"No value found for key {key}")
        around = self._environment.servers.surroundings
        if not around.well("data_source") or (self._machine.meta_data is None and self._machine.user_data is None):
            self._no_data_source()
            return None
        try:
            given = parse_meta_data(self._machine.meta_data) if self._machine.meta_data else MetaData()
        except InvalidInput as error:
            self._logs.cloud_init("util.py", "WARNING", f"{error.what}")
            self._logs.cloud_init(
                "util.py", "WARNING", "Getting data from <class 'cloudinit.sources.DataSourceVMware'> failed"
            )
            self._no_data_source()
            return None
        self._logs.cloud_init("sources/__init__.py", "DEBUG", f"Seeing if we can get any data from {DATA_SOURCE}")
        self._name_host(given.host_name)
        if not around.well("network_configuration"):
            self._logs.cloud_init("stages.py", "INFO", "network config is disabled by system_cfg")
            given = replace(given, network=NetworkConfig(dhcp=False))
        write_network(self._disk, given.network, self._logs)
        self._dhcp = given.network.dhcp
        await self._report(None)
        await self._environment.record(self._machine.id, "cloud-init local", began)
        return given

    async def _network_stage(self, given: MetaData) -> None:
        began = self._environment.clock.monotonic()
        self._address = await bring_up(self._machine.id, given.network, self._environment, self._logs)
        await self._report(self._address)
        await self._environment.record(self._machine.id, "network", began)

    async def _modules(self, given: MetaData) -> None:
        """The network (`init`), config and final stages: what the user data says, once for each instance."""
        began = self._environment.clock.monotonic()
        self._logs.stage("init")
        try:
            wanted = parse_user_data(self._machine.user_data or "")
        except InvalidInput as error:
            self._logs.cloud_init("util.py", "WARNING", error.what)
            self._logs.cloud_init("__init__.py", "WARNING", "Failed at merging in cloud config part from part-001")
            return
        self._name_host(wanted.host_name)
        instance = given.instance_id or "iid-vmware"
        if not run_module(self._disk, self._logs, instance, "write_files", lambda: self._write_files(wanted)):
            return
        run_module(self._disk, self._logs, instance, "ssh", lambda: self._ssh_keys(wanted))
        self._logs.stage("modules:config")
        run_module(self._disk, self._logs, instance, "ntp", lambda: self._ntp(wanted))
        await self._environment.take(self._environment.durations.cloud_init_modules)
        await self._environment.record(self._machine.id, "cloud-init", began)
        self._logs.stage("modules:final")
        await self._run_commands(instance, wanted)
        self._disk.write("/var/lib/cloud/instance/boot-finished", f"{self._logs.uptime:.2f}\n")
        self._logs.finished(DATA_SOURCE)

    async def _run_commands(self, instance: str, wanted: UserData) -> None:
        """One script, as cloud-init makes it: it goes on after a command that failed; its code is the last one's."""
        done = semaphore(instance, "scripts_user")
        # The script lies on the disk from the first boot on: by the next the user data may have been taken away.
        script = semaphore(instance, "runcmd")
        if wanted.run_commands is not None and not self._disk.exists(script):
            self._disk.write(script, json.dumps(wanted.run_commands, default=str))
        if not self._disk.exists(script) or self._disk.exists(done):
            return
        try:
            commands = commands_to_run(json.loads(self._disk.read(script) or "[]"))
        except InvalidInput as error:
            self._logs.cloud_init("cc_runcmd.py", "WARNING", f"Failed to shellify runcmd: {error.what}")
            return
        shell = Shell(self._disk, self._logs, self._kubeadm, self._cluster)
        code = 0
        for line, command in enumerate(commands, start=2):
            code = await shell.run(command, line)
        if code:
            self._logs.cloud_init(
                "subp.py", "WARNING", f"Failed running /var/lib/cloud/instance/scripts/runcmd [{code}]"
            )
            self._logs.cloud_init(
                "cc_scripts_user.py",
                "WARNING",
                "Failed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)",
            )
        # cloud-init marks this before it runs the script; a power cut in the script would then end the machine for
        # good. Here it runs again, since each command takes effect whole or not at all.
        self._disk.write(done, "")

    async def _kubeadm(self, arguments: list[str]) -> int:
        command = Kubeadm(
            machine_id=self._machine.id,
            host_name=self._host_name,
            address=self._address,
            disk=self._disk,
            logs=self._logs,
            environment=self._environment,
            make_node=self._make_node,
        )
        code, node = await command.run(arguments)
        if node is not None:
            self._group.create_task(node.run())
        return code

    async def _start_finished_node(self) -> None:
        """After a reboot: the disk says which cluster it belongs to, and etcd's data whether as a member."""
        cluster = self._environment.clusters.on_disk(self._disk)
        name = json.loads(self._disk.read(REGISTRATION_FILE) or "{}").get("metadata", {}).get("name", self._host_name)
        if cluster is None:
            return
        began = self._environment.clock.monotonic()
        await self._environment.take(self._environment.durations.control_plane_restart)
        node = self._make_node(name, cluster)
        if cluster.start_member(name, self._disk):
            await node.restart_api()
        self._group.create_task(node.run())
        await self._environment.record(self._machine.id, "node restart", began)

    def _make_node(self, name: str, cluster: Cluster) -> Node:
        self._node = Node(
            machine_id=self._machine.id,
            name=name,
            address=self._address,
            cluster=cluster,
            disk=self._disk,
            logs=self._logs,
            environment=self._environment,
        )
        return self._node

    def _cluster(self) -> Cluster | None:
        return self._node.cluster if self._node is not None and self._disk.exists(KUBELET_CONF) else None

    def _name_host(self, name: str) -> None:
        if name:
            self._host_name = self._logs.host_name = name
            self._disk.write("/etc/hostname", f"{name}\n")

    async def _report(self, address: str | None) -> None:
        await self._environment.report(self._machine.id, address, self._host_name, self._dhcp)

    def _write_files(self, wanted: UserData) -> None:
        if not self._environment.servers.surroundings.well("writable"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        for file in files_to_write(wanted.write_files) if wanted.write_files is not None else []:
            content = file.content
            if file.append:
                content = (self._disk.read(file.path) or "").encode() + content
            self._disk.write(file.path, content, file.mode)
            self._logs.cloud_init(
                "util.py", "DEBUG", f"Writing to {file.path} - wb: [{file.mode:o}] {len(content)} bytes"
            )

    def _ssh_keys(self, wanted: UserData) -> None:
        if wanted.ssh_authorized_keys:
            keys = "".join(f"{key}\n" for key in wanted.ssh_authorized_keys)
            self._disk.write("/home/ubuntu/.ssh/authorized_keys", keys, 0o600)

    def _ntp(self, wanted: UserData) -> None:
        if wanted.ntp_servers:
            servers = "".join(f"server {server} iburst\n" for server in wanted.ntp_servers)
            self._disk.write("/etc/chrony/chrony.conf", servers)

    def _no_data_source(self) -> None:
        self._logs.cloud_init("util.py", "DEBUG", "No local datasource found")
        self._logs.stage("init")
        self._logs.cloud_init(
            "main.py",
            "WARNING",
            "Did not find any data source, searched classes: (DataSourceVMware, DataSourceOVF, DataSourceNone)",
        )
        self._logs.cloud_init("util.py", "WARNING", "No instance datasource found! Likely bad things to come!")
