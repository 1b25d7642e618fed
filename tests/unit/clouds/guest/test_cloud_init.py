"""A machine does what its user data says and no more; what goes wrong stands in its logs and makes no node."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.clock import LoopClock

from .lab import Lab, cloud_config, file_of, given, node_machine, running_lab

pytestmark = pytest.mark.looptime


async def no_node(lab: Lab) -> bool:
    """After far longer than a node needs."""
    await asyncio.sleep(300)
    return await lab.answers("/readyz") is None and lab.hypervisor.addresses.get("vm-1") is not None


async def boot(lab: Lab, document: dict[str, Any] | str) -> None:
    """A machine with that user data, until it has nothing more to do."""
    text = document if isinstance(document, str) else cloud_config(document)
    lab.hypervisor.put(node_machine(1, user_data=text))
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#cloud-config\nhostname: [\n", "Failed loading yaml blob. Invalid format at line 3 column 1"),
        ("hostname: node-1\n", "Unhandled non-multipart (text/x-not-multipart) userdata"),
        ("#cloud-config\n- a list\n", "but got list instead"),
    ],
)
async def test_user_data_that_cannot_be_read_is_told_and_makes_no_node(tmp_path: Path, text: str, words: str) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, user_data=text))
        assert await no_node(lab)
        for log in ("cloud-init.log", "cloud-init-output.log"):
            assert words in lab.log(log)
            assert "Failed at merging in cloud config part from part-001" in lab.log(log)
        assert "modules:final" not in lab.log("cloud-init.log")


async def test_a_machine_that_was_given_nothing_finds_no_data_source(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, user_data=None, meta_data=None))
        await asyncio.sleep(300)
        log = lab.log("cloud-init.log")
        assert "DataSourceVMware.py[DEBUG]: No value found for key userdata" in log
        assert "Did not find any data source, searched classes: (DataSourceVMware, DataSourceOVF" in log
        assert "No instance datasource found! Likely bad things to come!" in lab.output()
        assert lab.hypervisor.addresses == {"vm-1": None}


async def test_meta_data_that_cannot_be_read_is_no_data_source(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, meta_data="instance-id: [\n"))
        await asyncio.sleep(300)
        log = lab.log("cloud-init.log")
        assert "Getting data from <class 'cloudinit.sources.DataSourceVMware'> failed" in log
        assert "Did not find any data source" in log
        assert lab.hypervisor.addresses == {"vm-1": None}


async def test_without_user_data_a_machine_is_named_and_addressed_and_nothing_else(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(node_machine(1, user_data=None))
        assert await no_node(lab)
        assert lab.log("/etc/hostname") == "node-1\n"
        assert "No value found for key userdata" in lab.log("cloud-init.log")
        assert "finished at" in lab.output()


async def test_modules_that_the_image_lacks_are_passed_over(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), lambda document: document.update(chef={"a": 1}, future=[2])))
        await lab.nodes_are_ready()


async def test_files_get_content_permissions_and_are_appended_to(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        files = [
            {"path": "/opt/a", "content": "b25l", "encoding": "b64", "permissions": "0700"},
            {"path": "/opt/a", "content": " two", "append": True, "permissions": "0640"},
        ]
        await boot(lab, {"write_files": files})
        assert lab.log("/opt/a") == "one two"
        path = tmp_path / "machines/node-1/rootfs/opt/a"
        assert path.stat().st_mode & 0o777 == 0o640
        assert "util.py[DEBUG]: Writing to /opt/a - wb: [700] 3 bytes" in lab.log("cloud-init.log")


@pytest.mark.parametrize("path", ["/../../../outside", "relative", "/etc/../../outside", "/nul\0byte"])
async def test_a_path_that_leads_out_of_the_disk_is_refused(tmp_path: Path, path: str) -> None:
    state = tmp_path / "deep" / "state"
    async with running_lab(state, LoopClock()) as lab:
        files = [{"path": path, "content": "escaped"}, {"path": "/opt/never", "content": ""}]
        await boot(lab, {"write_files": files, "runcmd": ["echo never"]})
        assert "Running module write-files (<module 'cloudinit.config.cc_write_files'" in lab.log("cloud-init.log")
        assert "is not an absolute path inside the machine." in lab.output()
        assert "never" not in lab.output()
        assert not [found for found in tmp_path.rglob("*") if found.is_file() and found.read_text() == "escaped"]


async def test_a_file_where_a_folder_is_fails_as_a_module_fails(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"write_files": [{"path": "/opt/a/b"}, {"path": "/opt/a", "content": "x"}]})
        assert "cc_write_files.py[ERROR]: IsADirectoryError: Is a directory" in lab.output()


async def test_broken_file_content_fails_its_module_and_makes_no_node(tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        file_of(document, "/run/kubeadm/kubeadm.yaml").update(encoding="gz+b64")

    async with running_lab(tmp_path, LoopClock()) as lab:
        lab.hypervisor.put(given(node_machine(1), spoil))
        assert await no_node(lab)
        assert "cc_write_files.py[ERROR]: Failed to decode gz+b64 content" in lab.output()


async def test_commands_are_lists_or_texts_and_run_in_order_past_failures(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        commands = [["echo", "one two"], "echo 'three  four'", "false", ["nosuchprogram", "x"], "echo five"]
        await boot(lab, {"runcmd": commands})
        lines = lab.output().splitlines()
        printed = [line for line in lines if line.split()[0] in ("one", "three", "five")]
        assert printed == ["one two", "three  four", "five"]
        assert "/var/lib/cloud/instance/scripts/runcmd: 5: nosuchprogram: not found" in lines
        assert "Failed to run module scripts-user" not in lab.output()  # the last command ended well


async def test_the_last_commands_failure_is_the_scripts(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"runcmd": ["true", "nosuchprogram"]})
        assert "Failed running /var/lib/cloud/instance/scripts/runcmd [127]" in lab.output()
        assert "Failed to run module scripts-user" in lab.log("cloud-init.log")
        assert lab.log("/var/lib/cloud/instance/boot-finished")


async def test_an_unclosed_quote_is_the_shells_complaint(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"runcmd": ["echo 'open"]})
        assert "runcmd: 2: Syntax error: Unterminated quoted string" in lab.output()


async def test_commands_of_another_form_are_not_run(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"runcmd": ["echo never", 7]})
        assert "cc_runcmd.py[WARNING]: Failed to shellify runcmd: Unable to shellify type int" in lab.output()
        assert "\nnever\n" not in lab.output()


async def test_keys_time_servers_and_network_are_on_the_disk(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"ssh_authorized_keys": ["ssh-ed25519 AAAA me"], "ntp": {"servers": ["127.64.0.3"]}})
        assert lab.log("/home/ubuntu/.ssh/authorized_keys") == "ssh-ed25519 AAAA me\n"
        assert lab.log("/etc/chrony/chrony.conf") == "server 127.64.0.3 iburst\n"
        netplan = yaml.safe_load(lab.log("/etc/netplan/50-cloud-init.yaml"))
        assert netplan["network"]["ethernets"]["ens192"]["dhcp4"] is True


async def test_modules_and_commands_run_once_over_a_reboot(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(
            lab, {"write_files": [{"path": "/opt/log", "content": "x", "append": True}], "runcmd": ["echo once"]}
        )
        lab.hypervisor.power("vm-1", on=False)
        await asyncio.sleep(1)
        lab.hypervisor.power("vm-1", on=True)
        await asyncio.sleep(60)
        assert lab.log("/opt/log") == "x"
        assert lab.output().splitlines().count("once") == 1
        assert "config-write-files already ran (freq=once-per-instance)" in lab.log("cloud-init.log")
        assert lab.output().count("running 'init-local'") == 2


async def test_a_new_instance_runs_its_modules_again(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(
            lab, {"write_files": [{"path": "/opt/log", "content": "x", "append": True}], "runcmd": ["echo again"]}
        )
        machine = lab.hypervisor.made["vm-1"]
        lab.hypervisor.put(replace(machine, boot=2, meta_data="instance-id: other\nlocal-hostname: node-1\n"))
        await asyncio.sleep(60)
        assert lab.log("/opt/log") == "xx"
        assert lab.output().splitlines().count("again") == 2


@pytest.mark.parametrize("instance", ["../../../../outside", "a/b", "i" * 300])
async def test_an_odd_instance_id_harms_nobody(tmp_path: Path, instance: str) -> None:
    async with running_lab(tmp_path / "state", LoopClock()) as lab:
        text = yaml.safe_dump({"instance-id": instance, "local-hostname": "node-1"})
        lab.hypervisor.put(node_machine(1, meta_data=text))
        lab.hypervisor.put(node_machine(2, id="vm-9", name="bystander"))
        await asyncio.sleep(60)
        assert lab.hypervisor.addresses["vm-9"]
        assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


async def test_four_stages_follow_one_another_with_rising_uptime(tmp_path: Path) -> None:
    async with running_lab(tmp_path, LoopClock()) as lab:
        await boot(lab, {"hostname": "renamed"})
        lines = [line for line in lab.output().splitlines() if line.startswith("Cloud-init v.")]
        stages = [line.split("'")[1] for line in lines[:-1]]
        assert stages == ["init-local", "init", "modules:config", "modules:final"]
        uptimes = [float(line.split("Up ")[1].split()[0]) for line in lines]
        assert uptimes == sorted(uptimes)
        assert uptimes[0] == 8.0
        assert "Datasource DataSourceVMware [seed=guestinfo]" in lines[-1]
        assert lab.log("/etc/hostname") == "renamed\n"
