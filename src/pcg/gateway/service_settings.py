"""The settings of the installer's service (systemd's EnvironmentFile), with the files that they and the unit name.

Only root may read them. Used by a diagnosis on this machine, which has not the service's environment.
"""

from __future__ import annotations

from pathlib import Path

SERVICE_SETTINGS = Path("/etc/pcg/installer.env")
"""as packaging/systemd has it"""

_MOST_BYTES = 64 * 1024
_FILES = {"PCG_CA_FILE": "PCG_CA", "PCG_PROXY_CA_FILE": "PCG_PROXY_CA"}
"""variable that names a file: what its content is called here"""
_CREDENTIALS = {"http-proxy": "PCG_HTTP_PROXY", "https-proxy": "PCG_HTTPS_PROXY"}
"""file beside the settings that the unit loads: what its content is called here"""


def read_service_settings(path: Path) -> dict[str, str]:
    """By variable; what is empty was not given. Raises OSError. The pairing code's file is never opened."""
    found: dict[str, str] = {}
    for line in _content(path).splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            found[name.strip()] = _unquoted(value.strip())
    for variable, name in _FILES.items():
        if found.get(variable):
            found[name] = _content(Path(found[variable]))
    for file, name in _CREDENTIALS.items():
        beside = path.with_name(file)
        if beside.exists():
            found[name] = _content(beside).strip()
    return {name: value for name, value in found.items() if value}


def _unquoted(value: str) -> str:
    """Of systemd.exec(5), EnvironmentFile: one pair of quotes round the whole value."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode(errors="replace")
