"""`pcg vsphere roles` needs neither console nor vCenter, and its commands hold every name as it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from pcg.cli.vsphere import vsphere
from pcg.clouds.vsphere import roles
from pcg.errors import InvalidInput

CONFIGURATION = """
cloud: vsphere
vcenter: {address: vc.example.com, username: svc-pcg@vsphere.local}
placement:
  - {datacenter: dc 1, cluster: "c'1", folder: team/pcg, datastore: ds-1, network: VM Network}
  - {datacenter: dc 1, cluster: c-2, folder: team/pcg, datastore: ds-1, network: VM Network}
template: {image: node}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "configuration.yaml"
    path.write_text(CONFIGURATION)
    return str(path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(vsphere, ["roles", *arguments])
    assert result.exit_code == 0, result.output
    return result


def test_text_names_each_privilege_with_its_reason_and_its_places(file: str) -> None:
    text = run("-f", file).output
    assert "svc-pcg@vsphere.local" in text
    for one in roles.TABLE:
        assert one.id in text and one.label in text and one.why in text
    assert "on /dc 1/vm/team/pcg: propagate to children" in text


def test_govc_commands_are_words_of_a_shell(file: str) -> None:
    lines = [shlex.split(line) for line in run("-f", file, "--output", "govc").output.splitlines() if line[0] != "#"]
    assert {words[1] for words in lines} == {"role.create", "permissions.set"}
    paths = [words[-1] for words in lines if words[1] == "permissions.set"]
    assert "/dc 1/host/c'1/Resources" in paths and "/dc 1/host/c-2/Resources" in paths
    assert len(paths) == len(set(paths)), "an account has one role on an object"
    assert all(words[3] == r"VSPHERE.LOCAL\svc-pcg" for words in lines if words[1] == "permissions.set")
    created = [words for words in lines if words[1] == "role.create"]
    assert {one for words in created for one in words[3:]} == set(roles.least()) - {"Folder.Create"}


def test_powercli_commands_quote_names_so_that_nothing_is_expanded(file: str) -> None:
    text = run("-f", file, "--output", "powercli", "--account", "o'$x@corp").output
    assert "FindByInventoryPath('dc 1/host/c''1/Resources')" in text
    assert r"Principal='CORP\o''$x'" in text
    typographic = run("-f", file, "--output", "powercli", "--account", "o\u2019; x").output
    assert "Principal='o\u2019\u2019; x'" in typographic
    assert '"' not in text


def test_without_a_configuration_placeholders_stand_for_names() -> None:
    assert r"DOMAIN\ACCOUNT" in run("--output", "govc").output
    assert "/DATACENTER/vm/FOLDER" in run("--output", "govc").output


def test_json_holds_roles_assignments_and_reasons(file: str) -> None:
    told = json.loads(run("-f", file, "--output", "json").output)
    assert {one["name"] for one in told["roles"]} >= {"ReadOnly", "pcg-machines", "pcg-templates", "pcg-resources"}
    assert {"role": "pcg-machines", "path": "/dc 1/vm/team/pcg", "propagate": True}.items() <= next(
        one for one in told["assignments"] if one["role"] == "pcg-machines"
    ).items()
    assert len(told["privileges"]) == len(roles.TABLE)


@pytest.mark.parametrize("arguments", [["name", "-f"], ["--output", "yaml"]])
def test_wrong_use_is_refused(arguments: list[str], file: str) -> None:
    arguments = [*arguments, file] if arguments[-1] == "-f" else arguments
    assert CliRunner().invoke(vsphere, ["roles", *arguments]).exit_code == 2


def test_a_gateway_s_own_placement_is_taken_from_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    class Console:
        async def gateway(self, name: str) -> dict[str, str]:
            return {"id": "g1", "name": name}

        async def call(self, method: str, path: str) -> dict[str, Any]:
            assert (method, path) == ("GET", "/gateways/g1/configuration")
            return {"generation": 1, "configuration": yaml.safe_load(CONFIGURATION), "notices": []}

    @asynccontextmanager
    async def open_console() -> AsyncIterator[Console]:
        yield Console()

    monkeypatch.setattr("pcg.cli.configuration_file.open_console", open_console)
    assert "/dc 1/vm/team/pcg" in run("edge", "--output", "govc").output


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    result = CliRunner().invoke(vsphere, ["roles", "-f", str(tmp_path / "bad.yaml")])
    assert isinstance(result.exception, InvalidInput)
