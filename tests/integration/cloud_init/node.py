"""A node in a root of its own: real cloud-init, netplan, useradd and ssh-keygen, on this machine but apart from it.

`boots.sh` makes the root (own mounts, network, names and processes) and runs cloud-init's stages in it; `recorder.sh`
stands where a program must not run or does not exist here. Used by `test_boots.py`.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcg.clouds.base import MachineSpec
from pcg.clouds.vsphere.inventory import Candidate
from pcg.clouds.vsphere.survey import Place
from pcg.clouds.vsphere.templates import clone_spec, without_user_data
from pcg.clouds.vsphere.vmomi import vim
from pcg.model.configuration import CustomSize, Placement
from pcg.model.naming import MARK_INSTANCE

HERE = Path(__file__).parent
RECORDED = (
    *(
        "kubeadm",
        "kubectl",
        "containerd",
        "systemctl",
        "swapoff",
        "modprobe",
        "sysctl",
        "sed",
        "update-ca-certificates",
    ),
    *("apt-get", "udevadm", "chronyd", "service", "sshd", "snap"),
    *("vmware-rpctool", "dmidecode", "systemd-detect-virt"),
)
QUIET = ("vmware-rpctool", "dmidecode", "systemd-detect-virt", "udevadm")
"""how cloud-init looks at the machine: no part of what a node is told"""
IMAGE = {
    # docs/node-image.md; its disk is this machine's, which nothing may grow
    "etc/cloud/cloud.cfg.d/99-node.cfg": "datasource_list: [VMware]\ngrowpart: {mode: 'off'}\nresize_rootfs: false\n"
    "system_info: {network: {renderers: [netplan]}}\nlocale: C.UTF-8\nssh_genkeytypes: [ed25519]\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n",
    "usr/share/pcg/cni/calico.yaml": "cidr: __POD_CIDR__\n",
    "usr/share/pcg/cni/cilium.yaml": "cidr: __POD_CIDR__\n",
}


@dataclass(frozen=True)
class Boot:
    """What lay there after one boot."""

    folder: Path

    @property
    def calls(self) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.split()[0] not in QUIET]

    @property
    def status(self) -> str:
        return (self.folder / "status").read_text()

    @property
    def hostname(self) -> str:
        return (self.folder / "hostname").read_text().strip()

    @property
    def log(self) -> str:
        return self.text("/var/log/cloud-init.log") + self.text("/var/log/cloud-init-output.log")

    def path(self, path: str) -> Path:
        if path.startswith("/run/"):
            return self.folder / path[1:]
        return self.folder / "written" / path[1:]

    def text(self, path: str) -> str:
        return self.path(path).read_text()

    def guest_info(self, key: str) -> str:
        return (self.folder / "guest" / key).read_text()

    def owner_and_mode(self, path: str) -> tuple[int, int, str]:
        found = self.path(path).stat()
        return found.st_uid, found.st_gid, f"{stat.S_IMODE(found.st_mode):04o}"

    def holding(self, words: str) -> set[str]:
        """Every file, apart from guest info, that has these words in it."""
        found = set()
        for root in (self.folder / "written", self.folder / "run"):
            for path in root.rglob("*"):
                if path.is_file() and not path.is_symlink() and words.encode() in path.read_bytes():
                    found.add(f"/{path.relative_to(root if root.name == 'written' else self.folder)}")
        return found


def boots(folder: Path, user_data: str, meta_data: str, times: int = 1) -> list[Boot]:
    """Boot as vCenter would give it: from the second boot on without user data, as after the join."""
    given = _settings(_clone(user_data, meta_data).config)
    later = given | _settings(without_user_data())
    for name, settings in (("seen/guest", given), ("guest-2", later)):
        (folder / name).mkdir(parents=True)
        for key, value in settings.items():
            if key.startswith("guestinfo."):
                (folder / name / key).write_text(value)
    for name, content in IMAGE.items():
        (folder / "image" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "image" / name).write_text(content)
    (folder / "seen/programs").mkdir()
    for name in RECORDED:
        shutil.copy(HERE / "recorder.sh", folder / "seen/programs" / name)
        (folder / "seen/programs" / name).chmod(0o755)
    apart = ("unshare", "--mount", "--net", "--uts", "--pid", "--ipc", "--fork", "--kill-child")
    done = subprocess.run(
        [*apart, "sh", str(HERE / "boots.sh"), str(folder), str(times)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [Boot(folder / f"boot-{number}") for number in range(1, times + 1)]


def _clone(user_data: str, meta_data: str) -> Any:
    some = Candidate("x", None, {})
    spec = MachineSpec(
        name="node-1",
        marks={MARK_INSTANCE: "i-1"},
        placement=Placement(datacenter="d", cluster="c", datastore="s", network="n"),
        template="vm-9",
        hardware=CustomSize(cpus=2, memory_gi_b=4, disk_gi_b=40),
        user_data=user_data,
        meta_data=meta_data,
    )
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    return clone_spec(spec, Place(some, some, some, some, some, some), [], backing)


def _settings(config: Any) -> dict[str, str]:
    return {option.key: option.value for option in config.extraConfig}
