"""cloud-init's way of running a module: once for each instance, and with a traceback of its own when it fails.

Called by the guest for the modules that write files; the network configuration is rendered here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pcg.clouds.guest.disk import MachineDisk
from pcg.clouds.guest.guest_network import INTERFACE
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.user_data import NetworkConfig
from pcg.errors import InvalidInput
from pcg.model.yaml_document import write_yaml

PER_INSTANCE = "/var/lib/cloud/instances"


def semaphore(instance: str, name: str) -> str:
    """The file that says that `name` ran for `instance`, whatever stands in that id."""
    folder = re.sub(r"[^A-Za-z0-9._-]", "_", instance)[:200].lstrip(".") or "_"
    return f"{PER_INSTANCE}/{folder}/sem/config_{name}"


def run_module(disk: MachineDisk, logs: GuestLogs, instance: str, name: str, work: Callable[[], None]) -> bool:
    """Whether it ran well, now or at an earlier boot of this instance."""
    shown, done = name.replace("_", "-"), semaphore(instance, name)
    if disk.exists(done):
        logs.cloud_init("helpers.py", "DEBUG", f"config-{shown} already ran (freq=once-per-instance)")
        return True
    logs.cloud_init("modules.py", "DEBUG", f"Running module {shown} with frequency once-per-instance")
    try:
        work()
    except (InvalidInput, OSError) as error:
        what = error.what if isinstance(error, InvalidInput) else f"{type(error).__name__}: {error.strerror}"
        module = (
            f"<module 'cloudinit.config.cc_{name}' from '/usr/lib/python3/dist-packages/cloudinit/config/cc_{name}.py'>"
        )
        logs.cloud_init("util.py", "WARNING", f"Running module {shown} ({module}) failed")
        logs.cloud_init(f"cc_{name}.py", "ERROR", what)
        return False
    disk.write(done, "")
    logs.cloud_init(
        "handlers.py", "DEBUG", f"finish: init-network/config-{shown}: SUCCESS: config-{shown} ran successfully"
    )
    return True


def write_network(disk: MachineDisk, config: NetworkConfig, logs: GuestLogs) -> None:
    """netplan's file, as cloud-init renders it."""
    interface: dict[str, object] = {"dhcp4": config.dhcp, "match": {"name": "e*"}}
    if config.address:
        interface["addresses"] = [config.address]
    if config.gateway:
        interface["routes"] = [{"to": "default", "via": config.gateway}]
    if config.name_servers or config.search:
        interface["nameservers"] = {"addresses": list(config.name_servers), "search": list(config.search)}
    document = {"network": {"version": 2, "ethernets": {INTERFACE: interface}}}
    disk.write("/etc/netplan/50-cloud-init.yaml", write_yaml(document, sort_keys=True), 0o600)
    logs.cloud_init("stages.py", "INFO", f"Applying network configuration from ds bringup=False: {document['network']}")
