"""No simulated part knows what it plays: no id of a scenario or a cause stands in its code, and so in its answers.

What a whole run's parts logged is looked through by `e2e/test_drills.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pcg.clouds
from diagnosis_ids import ids_in

CLOUDS = Path(pcg.clouds.__file__).parent

DRIVER = {"cloud.py", "client.py", "errors.py", "preflight.py"}
"""of clouds/simulated: what the gateway itself runs, and so in words that diagnosis knows"""

GO_STRING = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`')


def _simulated_parts() -> list[Path]:
    folders = ("simulated", "guest", "lab", "vsphere/simulator")
    files = [file for folder in folders for kind in ("py", "go") for file in (CLOUDS / folder).rglob(f"*.{kind}")]
    return [file for file in files if not (file.parent.name == "simulated" and file.name in DRIVER)]


def _strings(file: Path) -> Iterator[str]:
    text = file.read_text()
    if file.suffix == ".go":
        yield from GO_STRING.findall(text)
        return
    tree = ast.parse(text)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # what explains the code
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


@pytest.mark.parametrize("file", _simulated_parts(), ids=lambda file: str(file.relative_to(CLOUDS)))
def test_no_simulated_part_names_a_cause(file: Path) -> None:
    assert [string for string in _strings(file) if ids_in(string)] == []


def test_an_id_in_a_part_would_be_seen(tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    part.write_text('"""of connection-refused"""\nanswer = f"{1}: vendor-fault"\n')
    assert [string for string in _strings(part) if ids_in(string)] == [": vendor-fault"]
    part = tmp_path / "part.go"
    part.write_text('// connection-refused\nanswer := "vendor-fault"\n')
    assert [string for string in _strings(part) if ids_in(string)] == ['"vendor-fault"']
