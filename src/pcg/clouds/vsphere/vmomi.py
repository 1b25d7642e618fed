"""pyVmomi's names, untyped: its generated stubs know no constructor, and say None wherever a vCenter may lack a part.

Imported by every file of this driver in pyVmomi's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_pyvmomi: Any = import_module("pyVmomi")

vim: Any = _pyvmomi.vim
vmodl: Any = _pyvmomi.vmodl
SoapStubAdapter: Any = _pyvmomi.SoapStubAdapter
wait_for_task: Any = import_module("pyVim.task").WaitForTask
