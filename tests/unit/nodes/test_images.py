"""What a node image must carry, as the code that uses the images says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg import __version__
from pcg.model.configuration import parse_configuration
from pcg.model.kubernetes_releases import MINORS
from pcg.nodes.cloud_config import NodePlan, user_data
from pcg.nodes.images import images_in, images_of

from .test_cloud_config import JET, KUBE_VIP, SECRETS, SHARED, configuration, files, kubeadm, parsed


def three(**kubernetes: Any) -> dict[str, Any]:
    return {"nodes": {"count": 3}, "network": {"controlPlaneAddress": SHARED}, "kubernetes": kubernetes}


def test_the_images_of_one_release_are_those_that_kubeadm_lists() -> None:
    """As `kubeadm config images list` of 1.32.9 prints them, with kube-vip and jet."""
    assert images_of(configuration(**three(version="1.32.9"))) == [
        "registry.k8s.io/kube-apiserver:v1.32.9",
        "registry.k8s.io/kube-controller-manager:v1.32.9",
        "registry.k8s.io/kube-scheduler:v1.32.9",
        "registry.k8s.io/kube-proxy:v1.32.9",
        "registry.k8s.io/coredns/coredns:v1.11.3",
        "registry.k8s.io/pause:3.10",
        "registry.k8s.io/etcd:3.5.16-0",
        "ghcr.io/kube-vip/kube-vip:v0.8.9",
        f"docker.io/pcg/jet:{__version__}",
    ]


def test_without_a_shared_address_there_is_no_kube_vip() -> None:
    assert not [image for image in images_of(configuration()) if "kube-vip" in image]


def test_a_registry_of_ones_own_serves_all_but_jet() -> None:
    found = images_of(configuration(**three(registry="registry.test:5000/k8s")))
    assert {image.rpartition("/")[0] for image in found} == {"registry.test:5000/k8s", "docker.io/pcg"}
    assert "registry.test:5000/k8s/coredns:v1.11.3" in found  # kubeadm's rule: no folder of its own there


@pytest.mark.parametrize("version", MINORS)
@pytest.mark.parametrize("registry", ["", "registry.test/k8s"])
def test_what_user_data_names_is_in_the_list(version: str, registry: str) -> None:
    wanted = configuration(**three(version=version, registry=registry))
    listed = images_of(wanted)
    document = parsed(user_data(NodePlan("node-1", None, "https://c", "PEM"), wanted, SECRETS))
    cluster = kubeadm(document)["ClusterConfiguration"]
    assert any(image.endswith(f"/kube-apiserver:{cluster['kubernetesVersion']}") for image in listed)
    assert any(image.endswith(f"/etcd:{cluster['etcd']['local']['imageTag']}") for image in listed)
    assert any(image.endswith(f"/coredns:{cluster['dns']['imageTag']}") for image in listed)
    for file in (JET, KUBE_VIP):
        for image in images_in(files(document)[file]):
            assert image in listed or f"docker.io/{image}" in listed


def test_images_are_found_in_whatever_a_manifest_holds_and_each_once() -> None:
    pod = {"initContainers": [{"image": "a/init:1"}], "containers": [{"image": "a/main:1"}, {"name": "none"}]}
    daemon = {"kind": "DaemonSet", "spec": {"template": {"spec": pod}}}
    text = yaml.safe_dump_all(
        [daemon, None, {"kind": "ConfigMap", "data": {"image": "no/image:1"}}, daemon], sort_keys=False
    )
    assert images_in(text) == ["a/init:1", "a/main:1"]


@pytest.mark.parametrize("typed", ["https://registry.test/k8s/", "registry.test/k8s"])
def test_a_registry_is_taken_without_its_scheme(typed: str) -> None:
    assert configuration(kubernetes={"registry": typed}).kubernetes.registry == "registry.test/k8s"


def test_the_tests_own_configuration_is_one_that_is_accepted() -> None:
    """So that the list above is of what a person may ask for."""
    document = configuration(**three()).model_dump(by_alias=True, mode="json")
    assert parse_configuration(document)[0].kubernetes.release.version == "1.30.14"


def test_the_document_lists_what_the_code_asks_for() -> None:
    text = (Path(__file__).parents[3] / "docs/node-image.md").read_text()
    listed = [line[3:-1] for line in text.splitlines() if line.startswith("- `") and line.endswith("`") and ":" in line]
    assert listed == [image for image in images_of(configuration(**three())) if "pcg/jet" not in image]
