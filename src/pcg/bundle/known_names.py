"""Words and names that say what a machine is for, not whose it is: pseudonyms leave them as they are. Data only, for
`pseudonyms.py`. A diagnosis reads them, and so does whoever is to help.
"""

from __future__ import annotations

ROLES = frozenset([
    "api", "apiserver", "artifact", "artifacts", "auth", "backup", "bastion", "ca", "cache", "cert", "cicd",
    "client", "cloud", "cluster", "cni", "compute", "console", "containerd", "control", "controller", "coredns",
    "corp", "cp", "csi", "datacenter", "db", "default", "demo", "dev", "dhcp", "dns", "docker", "edge", "esx",
    "esxi", "etcd", "example", "external", "flannel", "calico", "cilium", "gateway", "git", "gitlab", "gw",
    "harbor", "haproxy", "host", "http", "https", "hub", "hypervisor", "image", "images", "ingress", "infra",
    "installer", "int", "internal", "io", "ip", "jet", "jump", "k8s", "kube", "kubelet", "kubernetes", "lan", "lb",
    "ldap", "leader", "linux", "loadbalancer", "local", "localdomain", "localhost", "log", "logs", "mail",
    "manager", "master", "metrics", "mgmt", "mirror", "monitor", "node", "nodes", "ns", "ntp", "palette", "pcg",
    "plane", "pod", "packages", "prod", "prometheus", "grafana", "proxy", "ova", "ovf", "png", "quay", "rancher",
    "registry", "release", "repo", "router", "server", "service", "smtp", "spectro", "squid", "staging", "storage",
    "svc", "switch", "syslog", "system", "template", "test", "time", "ubuntu", "vault", "vc", "vcenter", "vcsa",
    "vip", "virtual", "vm", "vmware", "vsphere", "vpn", "web", "webhook", "wlan", "worker", "workers", "www",
    "zone",
])  # fmt: skip

TOP_LEVELS = frozenset([
    "com", "net", "org", "io", "dev", "cloud", "app", "edu", "gov", "mil", "int", "info", "biz", "name", "pro",
    "aero", "arpa", "local", "localdomain", "lan", "internal", "intranet", "corp", "home", "private", "priv",
    "test", "example", "invalid", "site", "online", "tech", "systems", "network", "host", "ac", "ad", "ae", "af",
    "ag", "ai", "al", "ao", "ar", "at", "au", "az", "ba", "bb", "bd", "be", "bg", "bh", "bo", "br", "by", "bz",
    "ca", "cd", "ch", "ci", "cl", "cm", "cn", "co", "cr", "cu", "cy", "cz", "de", "dk", "dz", "ec", "ee", "eg",
    "es", "et", "eu", "fi", "fr", "ga", "ge", "gh", "gr", "gt", "hk", "hn", "hr", "ht", "hu", "id", "ie", "il",
    "in", "iq", "ir", "is", "it", "jo", "jp", "ke", "kg", "kh", "kr", "kw", "kz", "la", "lb", "li", "lk", "lt",
    "lu", "lv", "ly", "ma", "mc", "me", "mg", "mk", "ml", "mm", "mn", "mo", "mt", "mu", "mx", "my", "mz", "na",
    "ng", "ni", "nl", "no", "np", "nz", "om", "pa", "pe", "pg", "ph", "pk", "pl", "pr", "pt", "qa", "ro", "ru",
    "rw", "sa", "se", "sg", "si", "sk", "sn", "su", "sv", "th", "tj", "tn", "tr", "tw", "tz", "ua", "ug", "uk",
    "us", "uy", "uz", "ve", "vn", "za", "zm", "zw",
])  # fmt: skip
"""endings by which a dotted word is taken for a host's name; those that are rather a file's (.py, .sh, .so) are not
among them"""

WELL_KNOWN = tuple(
    f".{name}"
    for name in [
        "k8s.io",
        "x-k8s.io",
        "kubernetes.io",
        "cluster.local",
        "docker.io",
        "docker.com",
        "quay.io",
        "gcr.io",
        "ghcr.io",
        "pkg.dev",
        "github.com",
        "golang.org",
        "google.com",
        "googleapis.com",
        "ubuntu.com",
        "canonical.com",
        "debian.org",
        "kernel.org",
        "snapcraft.io",
        "projectcalico.org",
        "cilium.io",
        "etcd.io",
        "containerd.io",
        "freedesktop.org",
        "opencontainers.org",
        "w3.org",
        "python.org",
    ]
)
"""software that everybody has: they stay with all that stands before them"""

PUBLIC = tuple(
    f".{name}" for name in ["spectrocloud.com", "vmware.com", "broadcom.com", "amazonaws.com", "azure.com", "ntp.org"]
)
"""services whose customers have names below them: these two labels stay"""

PLAIN_USERS = frozenset([
    "root", "admin", "administrator", "ubuntu", "debian", "system", "daemon", "nobody", "unknown", "anonymous",
    "kubernetes", "kubernetes-admin", "etcd", "www-data", "syslog", "messagebus", "user", "operator", "viewer",
    "service", "host", "node", "none", "null", "nil", "true", "false", "and", "or", "not", "the", "a", "for",
    "from", "is", "name", "id", "invalid", "vpxd", "machine", "console", "installer", "jet", "pcg", "containerd",
    "kubelet",
])  # fmt: skip
"""accounts that every such machine has, and words that stand where a name could"""
