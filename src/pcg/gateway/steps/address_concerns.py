"""Why a machine that runs has no address for longer than usual, by what the cloud shows of it.

The network card, the guest agent, the host name that the machine's meta data gives it, and whether the card asks for a
lease are met in this order while a machine boots: the first that is missing is the cause of the rest. Called by the
step machines.
"""

from __future__ import annotations

from pcg.clouds.base import ObservedMachine
from pcg.errors import PcgError, TryAgain

USUAL_SECONDS = 180.0
"""a machine has booted and has its address; systemd itself waits 120 s for the network"""

LOOK_AGAIN_SECONDS = 5.0
"""not every cloud tells of a change of all that is looked at here"""


def address_concern(machine: ObservedMachine, *, static: bool) -> PcgError:
    """`static`: the machine was given its address, and asks for no lease."""
    reason, words, remedy = _judged(machine, static=static)
    return TryAgain(
        f"{machine.name} runs and has no address: {words}.",
        reason=reason,
        evidence=[f"the cloud shows of {machine.name}: {', '.join(_shown(machine))}"],
        remedy=[remedy, "It goes on by itself as soon as the machine has its address."],
        fields={"machine": machine.name, "object": machine.id},
    )


def _judged(machine: ObservedMachine, *, static: bool) -> tuple[str, str, str]:
    """Reason, words and remedy."""
    if machine.connected is False:
        return (
            "card-disconnected",
            "its network card is not connected",
            "Connect the card (also at power on), and check its port group.",
        )
    if machine.cluster_tools is False:
        return (
            "guest-agent-silent",
            "its guest agent (VMware Tools) does not report, so that the address cannot be seen",
            "Use a node image with open-vm-tools, and let its service start at boot.",
        )
    if machine.host_name and machine.host_name.partition(".")[0] != machine.name:
        return (
            "meta-data-not-read",
            f"it calls itself {machine.host_name}, so its cloud-init has not read the meta data that it was given",
            "Read cloud-init.log on the machine's console: is VMware's data source in the node image?",
        )
    if static:
        return (
            "network-not-configured",
            "its cloud-init has not set the address that it was given",
            "Read cloud-init.log on the machine's console: which line fails to write the network's configuration?",
        )
    if machine.dhcp is False:
        return (
            "lease-not-asked",
            "its network configuration asks for none: DHCP is off, though the gateway's configuration says DHCP",
            "Let cloud-init configure the network in the node image (/etc/cloud), or give a static address pool.",
        )
    return (
        "lease-not-given",
        "no DHCP server gives it one",
        "Start the DHCP server of the network, or check the port group's VLAN; or use a static address pool.",
    )


def _shown(machine: ObservedMachine) -> list[str]:
    known = {True: "yes", False: "no", None: "not told"}
    return [
        f"power {machine.power}",
        f"card connected: {known[machine.connected]}",
        f"guest agent runs: {known[machine.cluster_tools]}",
        f"host name: {machine.host_name or 'not told'}",
        f"asks for a lease: {known[machine.dhcp]}",
    ]
