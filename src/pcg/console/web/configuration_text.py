"""A configuration as YAML for reading and editing: without what is not set, long texts as blocks."""

from __future__ import annotations

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(document: dict[str, Any]) -> str:
    """`parse_configuration` reads it back as the same."""
    return yaml.dump(_set_only(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _set_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _set_only(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_set_only(item) for item in value]
    return value
