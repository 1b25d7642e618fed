"""How long a guest takes, in seconds before they are divided by the simulation's speed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GuestDurations:
    """Measured on real node images where a comment says so; else round values in the usual range."""

    kernel: float = 8.0
    """firmware, boot loader and kernel"""
    cloud_init_local: float = 2.0
    dhcp: float = 1.0
    """from discover to acknowledge"""
    dhcp_longest_retry: float = 15.0
    """dhclient's `backoff-cutoff`"""
    wait_online: float = 120.0
    """systemd-networkd-wait-online's own timeout"""
    cloud_init_modules: float = 4.0
    """the config and final stages without the commands"""
    kubeadm_init: float = 24.0
    """measured: 23 to 24 s with images in the node image"""
    kubeadm_join: float = 12.0
    discovery_interval: float = 1.0
    """kubeadm asks every 5 s; shorter here, so that the time to join does not hang on where the interval falls"""
    init_timeout: float = 240.0
    """kubeadm's `timeoutForControlPlane`"""
    control_plane_restart: float = 6.0
    """static pods after a reboot, until the API server answers"""
    image_pull: float = 0.0
    """images are in the node image"""
    node_grace: float = 40.0
    """kube-controller-manager's `--node-monitor-grace-period`"""
    eviction: float = 300.0
    """default toleration of not-ready and unreachable nodes"""
    address_lease: float = 5.0
    """kube-vip's `vip_leaseduration`"""
