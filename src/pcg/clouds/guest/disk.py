"""One machine's disk: a folder with its root file system and its logs. It lives as long as the machine does.

A power cut loses nothing that was written (`write` replaces files whole). Made by the runner, written by the guest.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from pcg.errors import InvalidInput


class MachineDisk:
    """`rootfs` is the guest's `/`; logs lie beside it in `var/log` and `tmp`, where an archive would hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rootfs = folder / "rootfs"
        self.logs = folder / "var" / "log"

    def path(self, guest_path: str) -> Path:
        """Where the guest's absolute path lies here. Raises InvalidInput for one that leads out of its disk."""
        parts = PurePosixPath(guest_path).parts
        if not parts or parts[0] != "/" or ".." in parts or "\0" in guest_path:
            raise InvalidInput(f"{guest_path!r} is not an absolute path inside the machine.", reason="path-unsafe")
        return self.rootfs.joinpath(*parts[1:])

    def exists(self, guest_path: str) -> bool:
        return self.path(guest_path).exists()

    def read(self, guest_path: str) -> str | None:
        """The file's text, or None when there is no such file."""
        try:
            return self.path(guest_path).read_text(errors="replace")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, guest_path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Whole or not at all, also when power fails in between. Raises OSError."""
        target = self.path(guest_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        replacement = target.with_name(f".{target.name}.new")
        replacement.write_bytes(content.encode() if isinstance(content, str) else content)
        # The owner keeps his rights here: what the guest's root may read, we must be able to read and remove.
        replacement.chmod((mode & 0o777) | 0o600)
        replacement.replace(target)

    def names(self, guest_path: str) -> list[str]:
        """Names in a folder of the guest, in order; none when there is no such folder."""
        folder = self.path(guest_path)
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def destroy(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
