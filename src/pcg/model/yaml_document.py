"""YAML that a person gave, read so that whatever is wrong with it is told in words; and YAML that is written here.

It is read by PyYAML's own parser, which ends what is nested too deeply with an error, and written by libyaml, several
times as fast, where PyYAML was built with it.
"""

from __future__ import annotations

from typing import Any

import yaml

from pcg.errors import InvalidInput

# PyYAML tells by YAMLError only what its grammar finds; its constructors raise what Python's own do: ValueError for a
# 30 February, KeyError for `!!bool x`, AttributeError for `!!timestamp x`, RecursionError for what is nested deeply.
_FAULTS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write_yaml(*documents: Any, sort_keys: bool = False) -> str:
    """Of plain values, in their order unless `sort_keys`."""
    written: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=sort_keys)
    return written


def parse_yaml(content: str | bytes, *, what: str, field_name: str = "") -> Any:
    """What it holds, of whatever form. `what` begins the sentence that tells of a fault. Raises InvalidInput."""
    try:
        return yaml.safe_load(content)
    except _FAULTS as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise InvalidInput(f"{what} is not YAML{where}.", reason="not-yaml", field_name=field_name) from None
