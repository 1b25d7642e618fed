"""What a command is given by a file, so that it stands in no argument: a code, a proxy with its password, a CA."""

from __future__ import annotations

from pathlib import Path

from pcg.errors import InvalidInput


def text_of(path: Path, field: str) -> str:
    """Without the space around it. Raises InvalidInput that names the option `field`."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", reason="file-unreadable", field_name=field) from None


def text_if_given(path: Path | None, field: str) -> str | None:
    """None without a file, and for an empty one. Raises as `text_of`."""
    return None if path is None else text_of(path, field) or None
