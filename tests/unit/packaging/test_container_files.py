"""The container image's and Kubernetes' files, read as text: no engine is needed to see what would break."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pcg.cli.console import serve

ROOT = Path(__file__).resolve().parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
HEALTH = ("/healthz", "/readyz")


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "packaging" / "Containerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines if line)]


def last(word: str) -> str:
    return [rest for name, rest in instructions() if name == word][-1]


def copied_from_here() -> list[str]:
    sources = [rest.split() for word, rest in instructions() if word == "COPY" and "--from=" not in rest]
    return [source for words in sources for source in words[:-1] if not source.startswith("--")]


def console_parameters(arguments: list[str]) -> dict[str, Any]:
    assert arguments[:2] == ["console", "serve"]
    return serve.make_context("serve", arguments[2:]).params


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "packaging" / "kubernetes" / "console.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture
def pod(manifests: dict[str, Any]) -> dict[str, Any]:
    return dict(manifests["Deployment"]["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    ignore = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignore[0] == "*"
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    sources = copied_from_here()
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert allowed == set(sources)


def test_what_the_build_needs_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= {package.split("/")[0] for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert needed <= set(copied_from_here())


def test_bases_have_a_tag_that_stays() -> None:
    arguments = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    for base in bases:
        resolved = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], base)
        assert fnmatch.fnmatch(resolved, "python:3.1[1-9]-slim-*")
    assert "latest" not in (ROOT / "packaging" / "Containerfile").read_text()


def test_nobody_in_the_image_is_root() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) == int(group) == 10001
    final = instructions()[max(i for i, (word, _) in enumerate(instructions()) if word == "FROM") :]
    assert [word for word, _ in final if word == "RUN"] == []


def test_the_image_starts_a_console_that_it_can_ask_and_keep() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["pcg"]
    given = console_parameters(json.loads(last("CMD")))
    port = last("EXPOSE")
    assert given["listen"] == f"0.0.0.0:{port}"
    volumes = [Path(volume) for volume in json.loads(last("VOLUME"))]
    assert given["data"].parent in volumes
    owned = {rest.split()[-1] for word, rest in instructions() if word == "COPY" and "--chown=10001:10001" in rest}
    assert owned == {str(volume) for volume in volumes}
    python, flag, program = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    assert (python, flag) == ("python", "-c")
    compile(program, "HEALTHCHECK", "exec")
    assert f"https://127.0.0.1:{port}/healthz" in program


def test_the_pod_may_do_nothing_that_it_need_not(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == last("USER")
    assert context["fsGroup"] == context["runAsGroup"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_pod_runs_the_image_of_this_version_with_options_that_exist(container: dict[str, Any]) -> None:
    assert container["image"].rpartition(":")[2] == VERSION
    given = console_parameters(container["args"])
    mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    assert given["data"].parent in mounts
    assert given["listen"].rpartition(":")[2] == str(container["ports"][0]["containerPort"]) == last("EXPOSE")


def test_probes_ask_over_tls_what_exists(container: dict[str, Any]) -> None:
    for probe, path in (("startupProbe", HEALTH[0]), ("livenessProbe", HEALTH[0]), ("readinessProbe", HEALTH[1])):
        assert container[probe]["httpGet"] == {"path": path, "port": container["ports"][0]["name"], "scheme": "HTTPS"}


def test_one_process_and_one_volume(manifests: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]) -> None:
    deployment = manifests["Deployment"]["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    claims = [
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    ]
    assert claims == [manifests["PersistentVolumeClaim"]["metadata"]["name"]]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == manifests["Service"]["spec"]["selector"] == labels
    assert manifests["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
