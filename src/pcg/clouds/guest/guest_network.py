"""How a guest gets its address: static from its meta data, or by DHCP, asked again for as long as it takes.

The lines are dhclient's and systemd's own. Called by the guest between cloud-init's local and network stages.
"""

from __future__ import annotations

import ipaddress

from pcg.clouds.guest.environment import Environment
from pcg.clouds.guest.hypervisor import Lease
from pcg.clouds.guest.logs import GuestLogs
from pcg.clouds.guest.user_data import NetworkConfig

INTERFACE = "ens192"
_DHCLIENT_PID = 702


async def bring_up(machine_id: str, config: NetworkConfig, environment: Environment, logs: GuestLogs) -> str:
    """The machine's address, without its prefix."""
    logs.system("systemd", "Starting Network Configuration...", 1)
    around = environment.servers.surroundings
    if not around.well("cards_connected"):
        logs.kernel(f"vmxnet3 0000:0b:00.0 {INTERFACE}: NIC Link is Down")
        logs.system("systemd-networkd", f"{INTERFACE}: Lost carrier", 611)
        await around.until(lambda: around.cards_connected)
    logs.kernel(f"vmxnet3 0000:0b:00.0 {INTERFACE}: NIC Link is Up 10000 Mbps")
    if config.dhcp:
        lease = await _ask_until_bound(machine_id, environment, logs)
        address, prefix = str(lease.address), lease.prefix
        gateway = lease.gateway
    elif config.address:
        interface = ipaddress.ip_interface(config.address)
        address, prefix, gateway = str(interface.ip), interface.network.prefixlen, config.gateway
        logs.system("systemd-networkd", f"{INTERFACE}: Configuring with static address {address}/{prefix}", 611)
    else:
        logs.system("systemd-networkd", f"{INTERFACE}: Link has no address to configure", 611)
        await _never_online(environment, logs)
        raise AssertionError("waiting for an address that nobody gives does not end")
    logs.system("systemd-networkd", f"{INTERFACE}: Gained carrier", 611)
    logs.system("systemd", "Finished Wait for Network to be Configured.", 1)
    _show(address, prefix, gateway, logs)
    return address


async def _ask_until_bound(machine_id: str, environment: Environment, logs: GuestLogs) -> Lease:
    began = environment.clock.monotonic()
    patience, interval, told = environment.durations.wait_online, 3.0, False
    while True:
        logs.system(
            "dhclient",
            f"DHCPDISCOVER on {INTERFACE} to 255.255.255.255 port 67 interval {round(interval)}",
            _DHCLIENT_PID,
        )
        lease = await environment.discover(machine_id)
        if lease is not None and lease.address is not None:
            await _bind(lease, environment, logs)
            return lease
        # A server whose leases are all taken stays silent: the client cannot tell it from none.
        await environment.take(interval)
        interval = min(interval * 2, environment.durations.dhcp_longest_retry)
        if interval == environment.durations.dhcp_longest_retry:
            logs.system("dhclient", "No DHCPOFFERS received.", _DHCLIENT_PID)
        if not told and (environment.clock.monotonic() - began) * environment.speed >= patience:
            told = True
            _not_online(logs)


async def _bind(lease: Lease, environment: Environment, logs: GuestLogs) -> None:
    server = lease.server or lease.gateway or "0.0.0.0"  # noqa: S104  (what dhclient prints)
    logs.system("dhclient", f"DHCPOFFER of {lease.address} from {server}", _DHCLIENT_PID)
    await environment.take(environment.durations.dhcp)
    logs.system("dhclient", f"DHCPREQUEST for {lease.address} on {INTERFACE} to 255.255.255.255 port 67", _DHCLIENT_PID)
    logs.system("dhclient", f"DHCPACK of {lease.address} from {server}", _DHCLIENT_PID)
    logs.system("dhclient", f"bound to {lease.address} -- renewal in 21600 seconds.", _DHCLIENT_PID)


async def _never_online(environment: Environment, logs: GuestLogs) -> None:
    await environment.take(environment.durations.wait_online)
    _not_online(logs)
    while True:
        await environment.clock.sleep(3600.0)


def _not_online(logs: GuestLogs) -> None:
    logs.system("systemd-networkd-wait-online", "Timeout occurred while waiting for network connectivity.", 640)
    logs.system("systemd", "Failed to start Wait for Network to be Configured.", 1)


def _show(address: str, prefix: int, gateway: str, logs: GuestLogs) -> None:
    """cloud-init's own table of what came up."""
    rule = f"ci-info: +--------+------+{'-' * 20}+{'-' * 18}+--------+"
    logs.output("ci-info: " + "Net device info".center(62, "+"))
    logs.output(rule)
    logs.output(f"ci-info: | Device |  Up  |{'Address'.center(20)}|{'Mask'.center(18)}| Scope  |")
    mask = str(ipaddress.ip_network(f"{address}/{prefix}", strict=False).netmask)
    logs.output(f"ci-info: | {INTERFACE} | True |{address.center(20)}|{mask.center(18)}| global |")
    logs.output(rule)
    logs.output(f"ci-info: Route IPv4: 0.0.0.0 via {gateway or 'none'} dev {INTERFACE}")
